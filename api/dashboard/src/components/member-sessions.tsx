// The sessions of a member: ending one of them, or all.

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { type ActiveSession, client, type Member, unwrap, unwrapPage } from "../api/client.ts";
import { endSession } from "../api/session.ts";
import { useAction } from "../hooks/use-action.ts";
import { useMe } from "../hooks/use-me.ts";
import { useOrganization } from "../hooks/use-organization.ts";
import { useToast } from "../hooks/use-toast.ts";
import { SessionTable } from "./session-table.tsx";
import { Dialog } from "./ui/dialog.tsx";
import { ErrorNotice } from "./ui/error-notice.tsx";
import { Loading } from "./ui/loading.tsx";

export function MemberSessions({ member, onClose }: { member: Member; onClose: () => void }) {
  const { org, can } = useOrganization();
  const me = useMe();
  const queries = useQueryClient();
  const toast = useToast();
  const action = useAction();
  const path = { org_id: org, user_id: member.user_id };
  const queryKey = ["member-sessions", org, member.user_id];
  const { data, error, refetch } = useQuery({
    queryKey,
    queryFn: ({ signal }) => {
      const params = { path, query: { limit: 200 } };
      return unwrapPage(client.GET("/orgs/{org_id}/members/{user_id}/sessions", { params, signal }));
    },
  });
  const endOne = (session: ActiveSession) =>
    action.run(async () => {
      const params = { path: { ...path, session_id: session.id } };
      await unwrap(client.DELETE("/orgs/{org_id}/members/{user_id}/sessions/{session_id}", { params }));
      toast("The session is ended.");
      await queries.invalidateQueries({ queryKey });
    });
  const endAll = () =>
    action.run(async () => {
      const { ended } = await unwrap(client.DELETE("/orgs/{org_id}/members/{user_id}/sessions", { params: { path } }));
      if (member.user_id === me.user?.id) return endSession(queries, false);
      toast(`${member.user_name}: ${ended === 1 ? "1 session" : `${ended} sessions`} ended.`);
      onClose();
    });
  const canEnd = can("members:admin");
  return (
    <Dialog title={`Sessions of ${member.user_name}`} onClose={onClose}>
      {data === undefined && error === null && <Loading label="Loading sessions" />}
      {error !== null && <ErrorNotice error={error} retry={refetch} />}
      {data?.items.length === 0 && <p className="muted">They are not signed in.</p>}
      {data !== undefined && data.items.length > 0 && (
        <SessionTable sessions={data.items} onEnd={canEnd ? endOne : null} isBusy={action.isBusy} />
      )}
      {data?.next != null && <p className="muted">Only the 200 oldest sessions are shown.</p>}
      {canEnd && (
        <p className="muted">
          Sessions that were created with one of their keys are included. Their keys stay valid, and can create new
          sessions. Disable those that have leaked.
        </p>
      )}
      {action.error !== null && <ErrorNotice error={action.error} />}
      <div className="row end">
        <button type="button" onClick={onClose}>
          Close
        </button>
        {canEnd && (
          <button type="button" className="danger primary" disabled={action.isBusy} onClick={endAll}>
            End all sessions
          </button>
        )}
      </div>
    </Dialog>
  );
}
