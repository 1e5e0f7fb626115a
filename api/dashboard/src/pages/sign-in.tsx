// The sign-in page: with a passkey, at an identity provider, or with an API key or an access token.

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { Navigate, useLocation, useSearchParams } from "react-router";
import { signInOptionsQuery } from "../api/passkeys.ts";
import { HAS_EXPIRED, homePath } from "../api/session.ts";
import { PasskeySignIn } from "../components/passkey-sign-in.tsx";
import { ProviderLinks } from "../components/provider-links.tsx";
import { SignInWithKey } from "../components/sign-in-with-key.tsx";
import { EmptyState } from "../components/ui/empty-state.tsx";
import { Loading } from "../components/ui/loading.tsx";
import { Notice } from "../components/ui/notice.tsx";
import { useMe } from "../hooks/use-me.ts";
import icon from "../icon.svg";
import { hasPasskeys } from "../lib/passkey.ts";
import { serviceUrl } from "../lib/service-url.ts";
import { signInError } from "../lib/sign-in-errors.ts";

const signUpCommand = (url: string) => `curl -s -X POST ${url}/auth/create-key \\
  -H 'Content-Type: application/json' \\
  -d '{"user_name": "Your Name", "org_name": "Your Company",
       "user_email": "you@example.com"}'`;

/** The address of this page, with the reason if a sign-in at a provider failed. */
export const SIGN_IN_PATH = "/sign-in";

export function SignIn() {
  const queries = useQueryClient();
  const { pathname, search } = useLocation();
  const failure = useFailure();
  const { data: options, isPending } = useQuery(signInOptionsQuery);
  useEffect(() => {
    document.title = "Sign in · Claviger";
  }, []);
  const providers = options?.providers ?? [];
  const isKeyFirst = providers.length === 0 && !(options?.passkeys === true && hasPasskeys());
  const hasExpired = queries.getQueryData(HAS_EXPIRED) === true;
  const parameters = pathname === "/" || pathname === SIGN_IN_PATH ? {} : { return_to: pathname + search };
  return (
    <main className="sign-in-page">
      <div className="card stack">
        <div className="brand">
          <img src={icon} alt="" /> Claviger
        </div>
        <h1>Sign in</h1>
        {hasExpired && failure === null && (
          <Notice>
            <span>You were signed out: the session has ended, or its key was revoked.</span>
          </Notice>
        )}
        {failure !== null && (
          <div role="alert">
            <Notice tone="danger">{failure}</Notice>
          </div>
        )}
        {isPending ? (
          <Loading label="Loading the ways to sign in" />
        ) : (
          <>
            {options !== undefined && <PasskeySignIn options={options} />}
            <ProviderLinks providers={providers} label="Sign in with" parameters={parameters} />
            <details open={isKeyFirst}>
              <summary>Sign in with an API key or a token</summary>
              <SignInWithKey isFirst={isKeyFirst} />
            </details>
            <details>
              <summary>I have no key yet</summary>
              <div className="stack compact">
                <p className="small muted">If sign-up is open, this creates your organization and its first key:</p>
                <pre>{signUpCommand(serviceUrl())}</pre>
              </div>
            </details>
          </>
        )}
      </div>
    </main>
  );
}

/** Why a sign-in at a provider failed; null: none has failed. */
function useFailure(): string | null {
  const { pathname } = useLocation();
  const [search] = useSearchParams();
  const code = pathname === SIGN_IN_PATH ? search.get("error") : null;
  return code === null ? null : signInError(code);
}

/** The page for a caller who is signed in already: a sign-in that was to prove who they are has failed. */
export function SignInFailed() {
  const me = useMe();
  const failure = useFailure();
  if (failure === null) return <Navigate to={homePath(me)} replace />;
  return (
    <EmptyState title="You did not sign in again">
      <p>{failure}</p>
    </EmptyState>
  );
}
