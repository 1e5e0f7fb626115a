// The keys of the customer, and what the session allows them to do.

import { Plus } from "lucide-react";
import { useCallback, useEffect, useState } from "react";
import { Badge } from "../components/ui/badge.tsx";
import { EmptyState } from "../components/ui/empty-state.tsx";
import { ErrorNotice } from "../components/ui/error-notice.tsx";
import { FormattedNumber } from "../components/ui/formatted-number.tsx";
import { Loading } from "../components/ui/loading.tsx";
import { RelativeTime } from "../components/ui/relative-time.tsx";
import { useNow } from "../hooks/use-now.ts";
import { hasEnded, listKeys, MAX_SHOWN, type PortalClient, type PortalKey, type Session } from "./api.ts";
import { CreateKey } from "./create-key.tsx";
import { RevokeKey } from "./revoke-key.tsx";
import { RotateKey } from "./rotate-key.tsx";
import { KeyUsage } from "./usage.tsx";

interface Props {
  session: Session;
  client: PortalClient;
  /** The session has ended. */
  onEnded: () => void;
}

type Shown = { action: "create" } | { action: "rotate" | "revoke" | "usage"; apiKey: PortalKey };

export function Keys({ session, client, onEnded }: Props) {
  const [keys, setKeys] = useState<PortalKey[] | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [shown, setShown] = useState<Shown | null>(null);
  const load = useCallback(
    () =>
      listKeys(client).then(
        (keys) => {
          setKeys(keys);
          setError(null);
        },
        (error: unknown) => (hasEnded(error) ? onEnded() : setError(error)),
      ),
    [client, onEnded],
  );
  useEffect(() => {
    void load();
  }, [load]);
  const close = () => setShown(null);
  const isFull = keys !== null && keys.length >= (session.limits.max_keys ?? MAX_SHOWN);
  const dialog = { client, onClose: close, onChanged: load, onEnded };
  return (
    <div className="stack">
      <div className="space-between">
        <h2>Your API keys</h2>
        {session.allowed.includes("create") && (
          <button
            type="button"
            className="primary"
            disabled={keys === null || isFull}
            onClick={() => setShown({ action: "create" })}
          >
            <Plus size={17} aria-hidden />
            Create key
          </button>
        )}
      </div>
      {isFull && session.allowed.includes("create") && (
        <p className="hint">You have as many keys as you can have. Revoke one to create another.</p>
      )}
      {error !== null && <ErrorNotice error={error} retry={load} />}
      {keys === null && error === null && <Loading label="Loading your keys" />}
      {keys?.length === 0 && <EmptyState title="You have no API keys yet" />}
      {keys !== null && keys.length > 0 && (
        <ul className="portal-keys" aria-label="Your API keys">
          {keys.map((apiKey) => (
            <KeyCard
              key={apiKey.id}
              apiKey={apiKey}
              session={session}
              onAction={(action) => setShown({ action, apiKey })}
            />
          ))}
        </ul>
      )}
      {keys?.length === MAX_SHOWN && <p className="hint">Only the newest {MAX_SHOWN} keys are shown.</p>}
      {shown?.action === "create" && <CreateKey {...dialog} session={session} />}
      {shown?.action === "rotate" && <RotateKey {...dialog} apiKey={shown.apiKey} />}
      {shown?.action === "revoke" && <RevokeKey {...dialog} apiKey={shown.apiKey} />}
      {shown?.action === "usage" && <KeyUsage {...dialog} apiKey={shown.apiKey} />}
    </div>
  );
}

interface CardProps {
  apiKey: PortalKey;
  session: Session;
  onAction: (action: "rotate" | "revoke" | "usage") => void;
}

/** The name of a key, or the start of its secret if it has none. */
export const nameOf = (apiKey: PortalKey) => apiKey.name || apiKey.start;

function KeyCard({ apiKey, session, onAction }: CardProps) {
  const now = useNow();
  const name = nameOf(apiKey);
  const isExpired = apiKey.expires_at !== null && Date.parse(apiKey.expires_at) <= now;
  const isRotating = apiKey.previous_secret_expires_at !== null && Date.parse(apiKey.previous_secret_expires_at) > now;
  const can = (action: "rotate" | "revoke" | "usage") => session.allowed.includes(action);
  return (
    <li className="card stack compact">
      <div className="space-between">
        <h3>{name}</h3>
        {isExpired ? (
          <Badge tone="danger">Expired</Badge>
        ) : !apiKey.enabled ? (
          <Badge tone="warning">Disabled</Badge>
        ) : apiKey.remaining === 0 ? (
          <Badge tone="danger">Used up</Badge>
        ) : (
          <Badge tone="success">Valid</Badge>
        )}
      </div>
      <dl className="description-list">
        <dt>Secret</dt>
        <dd>
          <code>{apiKey.start}…</code>
        </dd>
        {apiKey.permissions.length > 0 && (
          <>
            <dt>Permissions</dt>
            <dd>
              <span className="chips">
                {apiKey.permissions.map((permission) => (
                  <span key={permission} className="chip">
                    {permission}
                  </span>
                ))}
              </span>
            </dd>
          </>
        )}
        <dt>Created</dt>
        <dd>
          <RelativeTime at={apiKey.created_at} />
        </dd>
        <dt>Last used</dt>
        <dd>
          <RelativeTime at={apiKey.last_used_at} />
        </dd>
        {apiKey.expires_at !== null && (
          <>
            <dt>{isExpired ? "Expired" : "Expires"}</dt>
            <dd>
              <RelativeTime at={apiKey.expires_at} />
            </dd>
          </>
        )}
        {isRotating && (
          <>
            <dt>Previous secret</dt>
            <dd>
              valid, expires <RelativeTime at={apiKey.previous_secret_expires_at} />
            </dd>
          </>
        )}
        {apiKey.remaining !== null && (
          <>
            <dt>Uses left</dt>
            <dd>
              <FormattedNumber value={apiKey.remaining} />
            </dd>
          </>
        )}
      </dl>
      <div className="row">
        {can("usage") && (
          <button type="button" className="small" aria-label={`Usage of ${name}`} onClick={() => onAction("usage")}>
            Usage
          </button>
        )}
        {apiKey.can_rotate && (
          <button type="button" className="small" aria-label={`Rotate ${name}`} onClick={() => onAction("rotate")}>
            Rotate
          </button>
        )}
        {can("revoke") && (
          <button
            type="button"
            className="small danger"
            aria-label={`Revoke ${name}`}
            onClick={() => onAction("revoke")}
          >
            Revoke
          </button>
        )}
      </div>
    </li>
  );
}
