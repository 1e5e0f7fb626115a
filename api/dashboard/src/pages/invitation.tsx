// An invitation or recovery link, as the person who has it sees it, signed in or not.

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Fingerprint } from "lucide-react";
import { type FormEvent, type ReactNode, useEffect, useRef } from "react";
import { useNavigate } from "react-router";
import { client, hasReason, type InvitationPreview, type Me, SIGNED_OUT, unwrap } from "../api/client.ts";
import { registerWithPasskey, signInOptionsQuery } from "../api/passkeys.ts";
import { endSession, meQuery } from "../api/session.ts";
import { ProviderLinks } from "../components/provider-links.tsx";
import { ErrorNotice } from "../components/ui/error-notice.tsx";
import { Loading } from "../components/ui/loading.tsx";
import { Notice } from "../components/ui/notice.tsx";
import { useAction } from "../hooks/use-action.ts";
import icon from "../icon.svg";
import { hasPasskeys } from "../lib/passkey.ts";
import { pastedSecret } from "../lib/keys/pasted-secret.ts";
import { formatExact } from "../lib/time.ts";

interface Props {
  token: string;
  /** The signed-in caller; null: not signed in. */
  me: Me | null;
}

export function InvitationPage({ token, me }: Props) {
  const { data, error, refetch } = useQuery({
    queryKey: ["invitation", token],
    queryFn: () => unwrap(client.POST("/invitations/preview", { body: { token } })),
    staleTime: Number.POSITIVE_INFINITY,
    // The token is not kept when the page is left.
    gcTime: 0,
  });
  useEffect(() => {
    document.title = "Invitation · Claviger";
  }, []);
  return (
    <main className="sign-in-page">
      <div className="card stack">
        <div className="brand">
          <img src={icon} alt="" /> Claviger
        </div>
        {error !== null && <InvalidLink error={error} retry={refetch} />}
        {data === undefined && error === null && <Loading label="Loading the invitation" />}
        {data !== undefined && (
          <>
            <Introduction preview={data} />
            {me === null ? <AcceptSignedOut token={token} preview={data} /> : <AcceptSignedIn token={token} me={me} />}
          </>
        )}
      </div>
    </main>
  );
}

function InvalidLink({ error, retry }: { error: unknown; retry: () => void }) {
  if (!hasReason(error, "invitation_not_found")) return <ErrorNotice error={error} retry={retry} />;
  return (
    <div role="alert" className="stack">
      <h1>This link is not valid</h1>
      <p>It was used or revoked, or it has expired. Ask an administrator of the organization for a new one.</p>
    </div>
  );
}

function Introduction({ preview }: { preview: InvitationPreview }) {
  const organization = preview.org_name || "An organization without a name";
  return (
    <div className="stack compact">
      {preview.kind === "invitation" ? (
        <>
          <h1>Join {organization}</h1>
          <p>
            You are invited to become a member, as <strong>{preview.user_name}</strong>.
          </p>
        </>
      ) : (
        <>
          <h1>Get access to {organization} again</h1>
          <p>
            From now on you sign in as <strong>{preview.user_name}</strong> in the way that you choose here.
          </p>
        </>
      )}
      <p className="muted small">The link is valid once, until {formatExact(preview.expires_at)}.</p>
    </div>
  );
}

/** Shows the pages of the organization after the link was redeemed. */
function useFinish() {
  const queries = useQueryClient();
  const navigate = useNavigate();
  return async (org: string) => {
    await queries.fetchQuery({ ...meQuery, staleTime: 0 });
    // Instead of the address with the token.
    await navigate(`/orgs/${org}/keys`, { replace: true });
  };
}

/** Ways to accept for a person who is signed in. */
function AcceptSignedIn({ token, me }: { token: string; me: Me }) {
  const queries = useQueryClient();
  const finish = useFinish();
  const { isBusy, error, run } = useAction();
  const accept = () =>
    run(async () => {
      const { org_id } = await unwrap(client.POST("/invitations/redeem", { body: { token } }));
      await finish(org_id);
    });
  const signOut = () =>
    run(async () => {
      await unwrap(client.DELETE("/session"));
      endSession(queries, false);
    });
  const other = (
    <button type="button" onClick={signOut} disabled={isBusy}>
      {me.identity === null ? "Sign out" : "Use another account"}
    </button>
  );
  if (me.identity === null) {
    return (
      <Ways error={error}>
        <Notice tone="warning">You are signed in with an API key. Sign out, and continue as a person.</Notice>
        <div className="row end">{other}</div>
      </Ways>
    );
  }
  return (
    <Ways error={error}>
      <p>
        You are signed in as <strong>{me.user?.name ?? me.identity.subject}</strong>.
      </p>
      <div className="row end">
        {other}
        <button type="button" className="primary" onClick={accept} disabled={isBusy}>
          Accept
        </button>
      </div>
    </Ways>
  );
}

/** Ways to accept for a person who is not signed in: each of them also signs in. */
function AcceptSignedOut({ token, preview }: { token: string; preview: InvitationPreview }) {
  const { data: options, isPending } = useQuery(signInOptionsQuery);
  if (isPending) return <Loading label="Loading the ways to accept" />;
  const providers = options?.providers ?? [];
  const withPasskey = options?.passkeys === true && hasPasskeys();
  if (providers.length === 0 && !withPasskey) return <AcceptWithToken token={token} />;
  return (
    <>
      {withPasskey && <AcceptWithPasskey token={token} preview={preview} />}
      <ProviderLinks providers={providers} label="Accept with" parameters={{ invitation: token }} />
      <details>
        <summary>Accept with an access token</summary>
        <AcceptWithToken token={token} />
      </details>
    </>
  );
}

/** Accepting with a new passkey, which also signs in. */
function AcceptWithPasskey({ token, preview }: { token: string; preview: InvitationPreview }) {
  const finish = useFinish();
  const { isBusy, error, run } = useAction();
  const accept = () => run(async () => finish(await registerWithPasskey({ invitation: token })));
  return (
    <Ways error={error}>
      <button type="button" className="primary" onClick={accept} disabled={isBusy}>
        <Fingerprint size={18} aria-hidden />{" "}
        {preview.kind === "invitation" ? "Create a passkey and join" : "Create a passkey and sign in"}
      </button>
    </Ways>
  );
}

/** Accepting with an access token of an identity provider, which also signs in. */
function AcceptWithToken({ token }: { token: string }) {
  // The access token is read from the input and not kept in the state.
  const input = useRef<HTMLInputElement>(null);
  const finish = useFinish();
  const { isBusy, error, run } = useAction();
  const accept = (event: FormEvent) => {
    event.preventDefault();
    const credential = pastedSecret(input.current?.value ?? "");
    if (credential === "") return;
    return run(async () => {
      const headers = { Authorization: `Bearer ${credential}` };
      const { org_id } = await unwrap(client.POST("/invitations/redeem", { headers, body: { token } }));
      await unwrap(client.POST("/session", { headers }));
      if (input.current !== null) input.current.value = "";
      await finish(org_id);
    });
  };
  return (
    <Ways error={hasReason(error, ...SIGNED_OUT) ? null : error}>
      {hasReason(error, ...SIGNED_OUT) && (
        <div role="alert">
          <Notice tone="danger">This access token is not valid: mistyped, or expired.</Notice>
        </div>
      )}
      <form className="stack" onSubmit={accept}>
        <label className="field">
          Access token of your identity provider
          <input ref={input} type="password" autoComplete="off" spellCheck={false} required />
        </label>
        <button type="submit" className="primary" disabled={isBusy}>
          Accept and sign in
        </button>
      </form>
    </Ways>
  );
}

function Ways({ error, children }: { error: unknown; children: ReactNode }) {
  return (
    <div className="stack">
      {children}
      {error !== null && <ErrorNotice error={error} />}
    </div>
  );
}
