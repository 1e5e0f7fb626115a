// The door: a key or an access token opens a session, whose cookie no script can read.

import { useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useEffect, useRef, useState } from "react";
import { client, done, Problem } from "../api/client.ts";
import icon from "../icon.svg";
import { Failure, Notice } from "../parts/basics.tsx";
import { useAction } from "../parts/use-action.ts";
import { ENDED, whoIs } from "../session.tsx";

const SIGN_UP = (origin: string) => `curl -s -X POST ${origin}/auth/create-key \\
  -H 'Content-Type: application/json' \\
  -d '{"user_name": "Your Name", "org_name": "Your Company",
       "user_email": "you@example.com"}'`;

export function SignIn() {
  const queries = useQueryClient();
  // Not in the state: a text that a person types here must leave no copy behind.
  const field = useRef<HTMLInputElement>(null);
  const { isBusy, problem, run } = useAction();
  const [isLost, setLost] = useState(false);

  useEffect(() => {
    document.title = "Sign in · Claviger";
    field.current?.focus();
  }, []);

  const hasEnded = queries.getQueryData(ENDED) === true;
  const signIn = (event: FormEvent) => {
    event.preventDefault();
    const text = field.current?.value.trim() ?? "";
    if (text === "") return;
    queries.removeQueries({ queryKey: ENDED });
    return run(async () => {
      await done(client.POST("/session", { headers: { Authorization: `Bearer ${text}` } }));
      if (field.current !== null) field.current.value = "";
      const me = await queries.fetchQuery({ ...whoIs, staleTime: 0 });
      // The browser has not kept the cookie.
      setLost(me === null);
    });
  };

  return (
    <main className="door">
      <div className="card stack">
        <div className="brand">
          <img src={icon} alt="" /> Claviger
        </div>
        <div className="stack tight">
          <h1>Sign in</h1>
          <p className="faint">With an API key that may manage keys, or an access token of your identity provider.</p>
        </div>
        {hasEnded && (
          <Notice>
            <span>You were signed out: the session has ended, or the key behind it was revoked.</span>
          </Notice>
        )}
        <form className="stack" onSubmit={signIn}>
          <label className="field">
            API key or token
            <input ref={field} type="password" autoComplete="off" spellCheck={false} required placeholder="cvg_…" />
          </label>
          {problem !== null && <SignInFailure of={problem} />}
          {isLost && (
            <Notice tone="bad">
              The browser did not keep the session. It does so only over https, or on this machine: open the page at the
              service's public origin.
            </Notice>
          )}
          <button type="submit" className="primary" disabled={isBusy}>
            {isBusy ? "Signing in…" : "Sign in"}
          </button>
        </form>
        <details>
          <summary>I have no key yet</summary>
          <div className="stack tight">
            <p className="small faint">
              Where sign-up is open, this makes an organization of your own and its first key:
            </p>
            <pre>{SIGN_UP(location.origin)}</pre>
          </div>
        </details>
      </div>
    </main>
  );
}

function SignInFailure({ of }: { of: unknown }) {
  if (!(of instanceof Problem && of.status === 401)) return <Failure of={of} />;
  return (
    <div role="alert">
      <Notice tone="bad">
        <span>This key or token is not good: mistyped, revoked, disabled or expired.</span>
      </Notice>
    </div>
  );
}
