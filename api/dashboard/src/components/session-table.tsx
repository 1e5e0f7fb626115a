// A table of sessions: the device, its address, and when the session was used.

import type { ActiveSession } from "../api/client.ts";
import { deviceName } from "../lib/user-agent.ts";
import { Badge } from "./ui/badge.tsx";
import { RelativeTime } from "./ui/relative-time.tsx";

interface Props {
  sessions: ActiveSession[];
  /** Ends a session; null: the caller cannot end them. */
  onEnd: ((session: ActiveSession) => void) | null;
  isBusy: boolean;
}

export function SessionTable({ sessions, onEnd, isBusy }: Props) {
  const sorted = [...sessions].sort(
    (a, b) => Number(b.current) - Number(a.current) || b.last_used_at.localeCompare(a.last_used_at),
  );
  return (
    <div className="table-scroll">
      <table className="responsive-table">
        <thead>
          <tr>
            <th scope="col">Device</th>
            <th scope="col">IP address</th>
            <th scope="col">Signed in</th>
            <th scope="col">Last used</th>
            {onEnd !== null && <th scope="col">Actions</th>}
          </tr>
        </thead>
        <tbody>
          {sorted.map((session) => (
            <tr key={session.id}>
              <th scope="row" title={session.user_agent ?? undefined}>
                {deviceName(session.user_agent)} {session.current && <Badge tone="info">This session</Badge>}
              </th>
              <td data-label="IP address">{session.client ?? <span className="muted">unknown</span>}</td>
              <td data-label="Signed in">
                <RelativeTime at={session.signed_in_at} />
              </td>
              <td data-label="Last used">
                <RelativeTime at={session.last_used_at} />
              </td>
              {onEnd !== null && (
                <td>
                  {!session.current && (
                    <button
                      type="button"
                      className="small danger"
                      aria-label={`End the session of ${deviceName(session.user_agent)}`}
                      disabled={isBusy}
                      onClick={() => onEnd(session)}
                    >
                      End
                    </button>
                  )}
                </td>
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
