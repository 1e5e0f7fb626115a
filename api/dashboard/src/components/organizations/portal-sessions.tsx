// The open sessions of the customers' portal, and ending one of them.

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { client, type Schemas, unwrap, unwrapPage } from "../../api/client.ts";
import { useAction } from "../../hooks/use-action.ts";
import { useToast } from "../../hooks/use-toast.ts";
import { UserName } from "../names.tsx";
import { ErrorNotice } from "../ui/error-notice.tsx";
import { RelativeTime } from "../ui/relative-time.tsx";

type Session = Schemas["ListedPortalSession"];

/** The most sessions that are shown. */
const MAX_SHOWN = 100;

export function PortalSessions({ org }: { org: string }) {
  const queries = useQueryClient();
  const toast = useToast();
  const action = useAction();
  const queryKey = ["org", org, "portal-sessions"];
  const { data, error, refetch } = useQuery({
    queryKey,
    queryFn: ({ signal }) => {
      const params = { path: { org_id: org }, query: { limit: MAX_SHOWN } };
      return unwrapPage(client.GET("/orgs/{org_id}/portal_sessions", { params, signal }));
    },
  });
  const end = (session: Session) =>
    action.run(async () => {
      const path = { org_id: org, session_id: session.id };
      await unwrap(client.DELETE("/orgs/{org_id}/portal_sessions/{session_id}", { params: { path } }));
      toast("The session is ended.");
      await queries.invalidateQueries({ queryKey });
    });
  return (
    <section className="stack compact" aria-label="Open sessions">
      <h3>Open sessions</h3>
      {error !== null && <ErrorNotice error={error} retry={refetch} />}
      {data?.items.length === 0 && <p className="muted">No customer is in the portal.</p>}
      {data !== undefined && data.items.length > 0 && (
        <div className="table-scroll">
          <table className="responsive-table">
            <thead>
              <tr>
                <th scope="col">Customer</th>
                <th scope="col">Link</th>
                <th scope="col">Expires</th>
                <th scope="col">Actions</th>
              </tr>
            </thead>
            <tbody>
              {data.items.map((session) => (
                <tr key={session.id}>
                  <th scope="row">
                    {session.user_id === null ? session.external_id : <UserName org={org} id={session.user_id} />}
                  </th>
                  <td data-label="Link">{session.opened ? "opened" : <span className="muted">not opened yet</span>}</td>
                  <td data-label="Expires">
                    <RelativeTime at={session.expires_at} />
                  </td>
                  <td>
                    <button
                      type="button"
                      className="small danger"
                      aria-label={`End the session of ${session.external_id ?? session.user_id}`}
                      disabled={action.isBusy}
                      onClick={() => end(session)}
                    >
                      End
                    </button>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {data?.next != null && <p className="muted">Only the {MAX_SHOWN} oldest sessions are shown.</p>}
      {action.error !== null && <ErrorNotice error={action.error} />}
    </section>
  );
}
