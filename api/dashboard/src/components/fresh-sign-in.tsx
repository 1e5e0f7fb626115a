// The dialog "Sign in again", which appears when an operation needs a fresh sign-in. The operation is then repeated.

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Fingerprint } from "lucide-react";
import { type FormEvent, type ReactNode, useCallback, useRef, useState } from "react";
import { useLocation } from "react-router";
import { client, type Me, unwrap } from "../api/client.ts";
import { isPasskeyAccount, signInOptionsQuery, signInWithPasskey } from "../api/passkeys.ts";
import { meQuery } from "../api/session.ts";
import { useAction } from "../hooks/use-action.ts";
import { FreshSignInContext } from "../hooks/use-fresh-sign-in.ts";
import { useMe } from "../hooks/use-me.ts";
import { pastedSecret } from "../lib/keys/pasted-secret.ts";
import { ProviderLinks } from "./provider-links.tsx";
import { SignInError } from "./sign-in-with-key.tsx";
import { Dialog } from "./ui/dialog.tsx";
import { ErrorNotice } from "./ui/error-notice.tsx";

/** Lets the operations of the pages ask for a fresh sign-in. */
export function FreshSignInProvider({ children }: { children: ReactNode }) {
  // What waits for the answer of the dialog; null: it is closed.
  const [answer, setAnswer] = useState<((isSignedIn: boolean) => void) | null>(null);
  const ask = useCallback(() => new Promise<boolean>((resolve) => setAnswer(() => resolve)), []);
  const close = (isSignedIn: boolean) => {
    answer?.(isSignedIn);
    setAnswer(null);
  };
  return (
    <FreshSignInContext value={ask}>
      {children}
      {answer !== null && <SignInAgain onClose={close} />}
    </FreshSignInContext>
  );
}

function SignInAgain({ onClose }: { onClose: (isSignedIn: boolean) => void }) {
  const me = useMe();
  const queries = useQueryClient();
  const hasSignedIn = async () => {
    const caller = await unwrap(client.GET("/me"));
    // Another caller has signed in: nothing on this page is theirs.
    if (!isSameCaller(me, caller)) return window.location.reload();
    queries.setQueryData(meQuery.queryKey, caller);
    onClose(true);
  };
  return (
    <Dialog title="Sign in again" onClose={() => onClose(false)}>
      <p>This needs a sign-in within the last 10 minutes, so that others cannot do it in an open browser.</p>
      {isPasskeyAccount(me) ? (
        <PasskeyAgain onSignedIn={hasSignedIn} />
      ) : (
        <>
          <ProviderAgain me={me} />
          <PastedCredential name={me.api_key === null ? "Access token" : "API key"} onSignedIn={hasSignedIn} />
        </>
      )}
      <div className="row end">
        <button type="button" onClick={() => onClose(false)}>
          Cancel
        </button>
      </div>
    </Dialog>
  );
}

function PasskeyAgain({ onSignedIn }: { onSignedIn: () => Promise<void> }) {
  const { isBusy, error, run } = useAction();
  const signIn = () =>
    run(async () => {
      await signInWithPasskey();
      await onSignedIn();
    });
  return (
    <div className="stack compact">
      <button type="button" className="primary" onClick={signIn} disabled={isBusy}>
        <Fingerprint size={18} aria-hidden /> Use your passkey
      </button>
      {error !== null && <ErrorNotice error={error} />}
    </div>
  );
}

/** The caller's identity provider, which leaves the page. The page is then shown again, but not what was typed into it. */
function ProviderAgain({ me }: { me: Me }) {
  const { data: options } = useQuery(signInOptionsQuery);
  const { pathname, search } = useLocation();
  const providers = options?.providers.filter(({ issuer }) => issuer === me.identity?.issuer) ?? [];
  if (providers.length === 0) return null;
  return (
    <>
      <ProviderLinks
        providers={providers}
        label="Sign in with"
        parameters={{ fresh: "true", return_to: pathname + search }}
      />
      <p className="hint">You come back to this page. Then repeat what you were about to do.</p>
    </>
  );
}

function PastedCredential({ name, onSignedIn }: { name: string; onSignedIn: () => Promise<void> }) {
  // The secret is read from the input and not kept in the state, so that no copy of it stays in memory.
  const input = useRef<HTMLInputElement>(null);
  const { isBusy, error, run } = useAction();
  const signIn = (event: FormEvent) => {
    event.preventDefault();
    const secret = pastedSecret(input.current?.value ?? "");
    if (secret === "") return;
    return run(async () => {
      await unwrap(client.POST("/session", { headers: { Authorization: `Bearer ${secret}` } }));
      if (input.current !== null) input.current.value = "";
      await onSignedIn();
    });
  };
  return (
    <form className="stack" onSubmit={signIn}>
      <label className="field">
        {name}
        <input ref={input} type="password" autoComplete="off" spellCheck={false} required />
      </label>
      {error !== null && <SignInError error={error} />}
      <div className="row end">
        <button type="submit" className="primary" disabled={isBusy}>
          Sign in again
        </button>
      </div>
    </form>
  );
}

function isSameCaller(one: Me, other: Me): boolean {
  const [own, others] = [one.identity, other.identity];
  return one.api_key?.id === other.api_key?.id && own?.issuer === others?.issuer && own?.subject === others?.subject;
}
