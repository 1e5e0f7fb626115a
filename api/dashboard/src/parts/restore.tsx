// A revoked key comes back, switched off, so that it is looked at before it opens anything again.

import { useQueryClient } from "@tanstack/react-query";
import { Undo2 } from "lucide-react";
import { useNavigate } from "react-router";
import { client, done, type Key } from "../api/client.ts";
import { useOrganization } from "../session.tsx";
import { Failure } from "./basics.tsx";
import { useSay } from "./toast.tsx";
import { useAction } from "./use-action.ts";
import { useOnce } from "./use-once.ts";

export function Restore({ org, of }: { org: string; of: Key }) {
  const { can } = useOrganization();
  const queries = useQueryClient();
  const navigate = useNavigate();
  const say = useSay();
  const { isBusy, problem, run } = useAction();
  const header = useOnce(of.id);
  const restore = () =>
    run(async () => {
      const params = { path: { org_id: org, key_id: of.id }, header };
      await done(client.POST("/orgs/{org_id}/api_keys/{key_id}/restore", { params }));
      say(`${of.name || of.start} is back, and disabled. Enable it when you are sure.`);
      await queries.invalidateQueries({ queryKey: ["keys", org] });
      navigate(`/orgs/${org}/keys/${of.id}`);
    });
  if (!can("api_keys:write")) return null;
  return (
    <div className="stack tight">
      <button
        type="button"
        className="small"
        aria-label={`Restore ${of.name || of.start}`}
        disabled={isBusy}
        onClick={restore}
      >
        <Undo2 size={15} aria-hidden /> Restore
      </button>
      {problem !== null && <Failure of={problem} />}
    </div>
  );
}
