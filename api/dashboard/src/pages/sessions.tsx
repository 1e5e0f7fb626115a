// The caller's own sessions: where they are signed in, and ending these sessions.

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { type ActiveSession, client, unwrap, unwrapPage } from "../api/client.ts";
import { SessionTable } from "../components/session-table.tsx";
import { ConfirmDialog } from "../components/ui/confirm-dialog.tsx";
import { ErrorNotice } from "../components/ui/error-notice.tsx";
import { Loading } from "../components/ui/loading.tsx";
import { PageHeader } from "../components/ui/page-header.tsx";
import { useAction } from "../hooks/use-action.ts";
import { useMe } from "../hooks/use-me.ts";
import { useToast } from "../hooks/use-toast.ts";

const QUERY_KEY = ["sessions"];

export function Sessions() {
  const me = useMe();
  const queries = useQueryClient();
  const toast = useToast();
  const action = useAction();
  const [isEndingOthers, setEndingOthers] = useState(false);
  const { data, error, refetch } = useQuery({
    queryKey: QUERY_KEY,
    queryFn: ({ signal }) => unwrapPage(client.GET("/me/sessions", { params: { query: { limit: 200 } }, signal })),
  });
  const end = (session: ActiveSession) =>
    action.run(async () => {
      await unwrap(client.DELETE("/me/sessions/{session_id}", { params: { path: { session_id: session.id } } }));
      toast("The session is ended.");
      await queries.invalidateQueries({ queryKey: QUERY_KEY });
    });
  return (
    <>
      <PageHeader
        title="Your sessions"
        description={
          me.api_key === null
            ? "The browsers in which you are signed in."
            : "The browsers that are signed in with this key."
        }
      >
        {data?.items.some(({ current }) => !current) && (
          <button type="button" className="danger" onClick={() => setEndingOthers(true)}>
            End all others
          </button>
        )}
      </PageHeader>
      {error !== null && <ErrorNotice error={error} retry={refetch} />}
      {action.error !== null && <ErrorNotice error={action.error} />}
      <div className="card table">
        {data === undefined && error === null && <Loading label="Loading sessions" />}
        {data !== undefined && <SessionTable sessions={data.items} onEnd={end} isBusy={action.isBusy} />}
      </div>
      {data?.next != null && <p className="muted">Only the 200 oldest sessions are shown.</p>}
      {isEndingOthers && <EndOthers onClose={() => setEndingOthers(false)} />}
    </>
  );
}

function EndOthers({ onClose }: { onClose: () => void }) {
  const queries = useQueryClient();
  const toast = useToast();
  const action = useAction();
  const end = () =>
    action.run(async () => {
      const params = { query: { keep_current: true } };
      const { ended } = await unwrap(client.DELETE("/me/sessions", { params }));
      toast(`${ended === 1 ? "1 other session" : `${ended} other sessions`} ended.`);
      await queries.invalidateQueries({ queryKey: QUERY_KEY });
      onClose();
    });
  return (
    <ConfirmDialog
      title="End all other sessions?"
      confirmLabel="End other sessions"
      action={action}
      onConfirm={end}
      onClose={onClose}
    >
      <p>You stay signed in in this browser only.</p>
    </ConfirmDialog>
  );
}
