// Restoring a revoked key. It is disabled after that, so that it can be checked before it is enabled.

import { useQueryClient } from "@tanstack/react-query";
import { Undo2 } from "lucide-react";
import { useNavigate } from "react-router";
import { client, type Key, unwrap } from "../../../api/client.ts";
import { useAction } from "../../../hooks/use-action.ts";
import { useIdempotencyKey } from "../../../hooks/use-idempotency-key.ts";
import { useOrganization } from "../../../hooks/use-organization.ts";
import { useToast } from "../../../hooks/use-toast.ts";
import { ErrorNotice } from "../../ui/error-notice.tsx";

export function RestoreKey({ org, apiKey }: { org: string; apiKey: Key }) {
  const { canChangeKey } = useOrganization();
  const queries = useQueryClient();
  const navigate = useNavigate();
  const toast = useToast();
  const { isBusy, error, run } = useAction();
  const header = useIdempotencyKey(apiKey.id);
  const name = apiKey.name || apiKey.start;
  const restore = () =>
    run(async () => {
      const params = { path: { org_id: org, key_id: apiKey.id }, header };
      await unwrap(client.POST("/orgs/{org_id}/api_keys/{key_id}/restore", { params }));
      toast(`${name} is restored, but disabled. Enable it to use it again.`);
      await Promise.all([
        queries.invalidateQueries({ queryKey: ["key", org, apiKey.id] }),
        queries.invalidateQueries({ queryKey: ["keys", org] }),
      ]);
      navigate(`/orgs/${org}/keys/${apiKey.id}`);
    });
  if (!canChangeKey(apiKey)) return null;
  return (
    <div className="stack compact">
      <button type="button" className="small" aria-label={`Restore ${name}`} disabled={isBusy} onClick={restore}>
        <Undo2 size={15} aria-hidden /> Restore
      </button>
      {error !== null && <ErrorNotice error={error} />}
    </div>
  );
}
