// Signing in with a passkey, and the way to a new organization.

import { useQueryClient } from "@tanstack/react-query";
import { Fingerprint } from "lucide-react";
import { Link } from "react-router";
import type { SignInOptions } from "../api/client.ts";
import { signInWithPasskey } from "../api/passkeys.ts";
import { HAS_EXPIRED, meQuery } from "../api/session.ts";
import { useAction } from "../hooks/use-action.ts";
import { hasPasskeys, whyNoPasskeys } from "../lib/passkey.ts";
import { ErrorNotice } from "./ui/error-notice.tsx";

export function PasskeySignIn({ options }: { options: SignInOptions }) {
  const queries = useQueryClient();
  const { isBusy, error, run } = useAction();
  if (!options.passkeys || !hasPasskeys()) return <p className="small muted">{whyNoPasskeys(window.location)}</p>;
  const signIn = () =>
    run(async () => {
      await signInWithPasskey();
      queries.removeQueries({ queryKey: HAS_EXPIRED });
      await queries.fetchQuery({ ...meQuery, staleTime: 0 });
    });
  return (
    <div className="stack compact">
      <button type="button" className="primary" onClick={signIn} disabled={isBusy}>
        <Fingerprint size={18} aria-hidden /> Sign in with a passkey
      </button>
      {error !== null && <ErrorNotice error={error} />}
      {options.sign_up && (
        <p className="small">
          New here? <Link to="/sign-up">Create an organization</Link>
        </p>
      )}
    </div>
  );
}
