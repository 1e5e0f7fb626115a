// The page of the portal: opens the session, and shows the customer's keys while it lasts.

import { ArrowLeft, LogOut } from "lucide-react";
import { type ReactNode, useCallback, useEffect, useState } from "react";
import { unwrap } from "../api/client.ts";
import { EmptyState } from "../components/ui/empty-state.tsx";
import { ErrorNotice } from "../components/ui/error-notice.tsx";
import { Loading } from "../components/ui/loading.tsx";
import type { OpenSession, Session } from "./api.ts";
import { applyBrand } from "./brand.ts";
import { Keys } from "./keys.tsx";

/** Why the page does not show keys any more. */
type End = "signed out" | "session ended";

const END_TITLES: Record<End, string> = {
  "signed out": "You are signed out",
  "session ended": "Your session has ended",
};

export function Portal({ opening }: { opening: Promise<OpenSession> }) {
  const [open, setOpen] = useState<OpenSession | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [ended, setEnded] = useState<End | null>(null);
  // Requests of a customer who has signed out may find out that the session has ended.
  const end = useCallback(() => setEnded((ended) => ended ?? "session ended"), []);
  useEffect(() => {
    let isCurrent = true;
    opening.then(
      (open) => {
        applyBrand(open.session);
        if (isCurrent) setOpen(open);
      },
      (error: unknown) => isCurrent && setError(error),
    );
    return () => {
      isCurrent = false;
    };
  }, [opening]);
  useEffect(() => {
    if (open === null) return;
    const left = Date.parse(open.session.expires_at) - Date.now();
    const timer = setTimeout(end, Math.max(0, left));
    return () => clearTimeout(timer);
  }, [open, end]);
  if (error !== null) {
    return (
      <Frame session={null}>
        <ErrorNotice error={error} />
      </Frame>
    );
  }
  if (open === null) {
    return (
      <Frame session={null}>
        <Loading label="Opening" />
      </Frame>
    );
  }
  const { session, client } = open;
  if (ended !== null) {
    return (
      <Frame session={session}>
        <EmptyState title={END_TITLES[ended]}>
          <p>To continue, open this page again from the website that you came from.</p>
          <ReturnLink session={session} />
        </EmptyState>
      </Frame>
    );
  }
  const signOut = async () => {
    // Whatever the service answers, the token is forgotten with this page.
    await unwrap(client.DELETE("/portal/session")).catch(() => undefined);
    setEnded("signed out");
  };
  return (
    <Frame session={session} onSignOut={signOut}>
      <Keys session={session} client={client} onEnded={end} />
    </Frame>
  );
}

interface FrameProps {
  session: Session | null;
  /** Undefined: no customer is signed in. */
  onSignOut?: () => Promise<void>;
  children: ReactNode;
}

function Frame({ session, onSignOut, children }: FrameProps) {
  return (
    <div className="portal">
      <header className="space-between">
        <span className="row">
          {session?.logo != null && <img src={session.logo} alt="" className="portal-logo" />}
          <h1>{session?.name ?? "API keys"}</h1>
        </span>
        {session !== null && onSignOut !== undefined && (
          <span className="row">
            <ReturnLink session={session} />
            <button type="button" className="small" onClick={onSignOut}>
              <LogOut size={16} aria-hidden />
              Sign out
            </button>
          </span>
        )}
      </header>
      <main>{children}</main>
    </div>
  );
}

/** Back to the page that has opened or embedded this one. */
function ReturnLink({ session }: { session: Session }) {
  if (session.return_url === null) return null;
  return (
    <a href={session.return_url} target="_top" className="button small">
      <ArrowLeft size={16} aria-hidden />
      Back
    </a>
  );
}
