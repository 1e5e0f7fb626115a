// The previous secret of a key while it is still valid: when it was last used, and how to revoke it.

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { client, hasReason, type Key, unwrap } from "../../../api/client.ts";
import { useAction } from "../../../hooks/use-action.ts";
import { useToast } from "../../../hooks/use-toast.ts";
import { SECOND } from "../../../lib/time.ts";
import { ConfirmDialog } from "../../ui/confirm-dialog.tsx";
import { Notice } from "../../ui/notice.tsx";
import { RelativeTime } from "../../ui/relative-time.tsx";

/** The service stores the last use within a second, so a use is shown soon after it happened. */
const REFETCH_INTERVAL = 3 * SECOND;

export function PreviousSecret({ org, apiKey, canRevoke }: { org: string; apiKey: Key; canRevoke: boolean }) {
  const queries = useQueryClient();
  const toast = useToast();
  const path = { org_id: org, key_id: apiKey.id };
  const action = useAction();
  const [isConfirming, setConfirming] = useState(false);
  const { data } = useQuery({
    queryKey: ["previous secret", org, apiKey.id, apiKey.version],
    queryFn: async () => {
      try {
        return await unwrap(client.GET("/orgs/{org_id}/api_keys/{key_id}/previous_secret", { params: { path } }));
      } catch (error) {
        if (hasReason(error, "not_found")) return null;
        throw error;
      }
    },
    refetchInterval: REFETCH_INTERVAL,
  });
  const revoke = () =>
    action.run(async () => {
      await unwrap(client.DELETE("/orgs/{org_id}/api_keys/{key_id}/previous_secret", { params: { path } }));
      toast("The previous secret is revoked.");
      await Promise.all([
        queries.invalidateQueries({ queryKey: ["key", org, apiKey.id] }),
        queries.invalidateQueries({ queryKey: ["keys", org] }),
      ]);
    });
  if (data === null || data === undefined) return null;
  return (
    <Notice tone="info">
      <strong>
        The previous secret <code>{data.start}…</code> is still valid. It expires <RelativeTime at={data.expires_at} />.
      </strong>
      <span>
        {data.last_used_at === null ? (
          "It has not been used since the rotation."
        ) : (
          <>
            Previous secret last used <RelativeTime at={data.last_used_at} />: something does not use the new one yet.
          </>
        )}
      </span>
      {canRevoke && (
        <span>
          <button type="button" className="small" onClick={() => setConfirming(true)}>
            Revoke previous secret
          </button>
        </span>
      )}
      {isConfirming && (
        <ConfirmDialog
          title="Revoke the previous secret?"
          confirmLabel="Revoke secret"
          action={action}
          onConfirm={revoke}
          onClose={() => setConfirming(false)}
        >
          <p>
            <code>{data.start}…</code> stops working at once, and cannot be restored. The new secret stays valid.
          </p>
        </ConfirmDialog>
      )}
    </Notice>
  );
}
