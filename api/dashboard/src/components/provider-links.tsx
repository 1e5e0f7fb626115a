// Signing in at an identity provider: a link for each of them, which leaves the page.

import { LogIn } from "lucide-react";
import type { SignInOptions } from "../api/client.ts";
import { BASE_PATH } from "../lib/service-url.ts";

interface Props {
  providers: SignInOptions["providers"];
  /** The text before the name of the provider. */
  label: string;
  /** What to do after signing in. */
  parameters: { return_to?: string; invitation?: string; fresh?: string };
}

export function ProviderLinks({ providers, label, parameters }: Props) {
  const query = new URLSearchParams(parameters).toString();
  return providers.map(({ id, name }) => (
    <a key={id} className="button primary" href={`${BASE_PATH}/sign_in/${id}${query === "" ? "" : `?${query}`}`}>
      <LogIn size={17} aria-hidden /> {label} {name}
    </a>
  ));
}
