// Signing in with an API key or an access token. The session is in a cookie that scripts cannot read.

import { useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useEffect, useRef, useState } from "react";
import { client, hasReason, SIGNED_OUT, unwrap } from "../api/client.ts";
import { HAS_EXPIRED, meQuery } from "../api/session.ts";
import { useAction } from "../hooks/use-action.ts";
import { pastedSecret } from "../lib/keys/pasted-secret.ts";
import { ErrorNotice } from "./ui/error-notice.tsx";
import { Notice } from "./ui/notice.tsx";

/** `isFirst`: there is no other way to sign in, so the form gets the focus. */
export function SignInWithKey({ isFirst }: { isFirst: boolean }) {
  const queries = useQueryClient();
  // The secret is read from the input and not kept in the state, so that no copy of it stays in memory.
  const input = useRef<HTMLInputElement>(null);
  const { isBusy, error, run } = useAction();
  const [isCookieRejected, setCookieRejected] = useState(false);

  useEffect(() => {
    if (isFirst) input.current?.focus();
  }, [isFirst]);

  const signIn = (event: FormEvent) => {
    event.preventDefault();
    const secret = pastedSecret(input.current?.value ?? "");
    if (secret === "") return;
    queries.removeQueries({ queryKey: HAS_EXPIRED });
    return run(async () => {
      await unwrap(client.POST("/session", { headers: { Authorization: `Bearer ${secret}` } }));
      if (input.current !== null) input.current.value = "";
      const me = await queries.fetchQuery({ ...meQuery, staleTime: 0 });
      setCookieRejected(me === null);
    });
  };

  return (
    <form className="stack" onSubmit={signIn}>
      <p className="muted">Use an API key that can manage Claviger, or an access token of your identity provider.</p>
      <label className="field">
        API key or token
        <input ref={input} type="password" autoComplete="off" spellCheck={false} required placeholder="cvg_…" />
      </label>
      {error !== null && <SignInError error={error} />}
      {isCookieRejected && (
        <Notice tone="danger">
          The browser did not store the session cookie. Open the page at the public URL of the service, over https.
        </Notice>
      )}
      <button type="submit" className={isFirst ? "primary" : undefined} disabled={isBusy}>
        {isBusy ? "Signing in…" : "Sign in"}
      </button>
    </form>
  );
}

export function SignInError({ error }: { error: unknown }) {
  if (!hasReason(error, ...SIGNED_OUT)) return <ErrorNotice error={error} />;
  return (
    <div role="alert">
      <Notice tone="danger">
        <span>This key or token is not valid: mistyped, revoked, disabled or expired.</span>
      </Notice>
    </div>
  );
}
