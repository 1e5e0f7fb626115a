// A revoked key comes back, switched off, so that it is looked at before it opens anything again.

import { useQueryClient } from "@tanstack/react-query";
import { Undo2 } from "lucide-react";
import { useState } from "react";
import { useNavigate } from "react-router";
import { client, done, type Key, once } from "../api/client.ts";
import { useOrganization } from "../session.tsx";
import { Failure } from "./basics.tsx";
import { useSay } from "./toast.tsx";

export function Restore({ org, of }: { org: string; of: Key }) {
  const { can } = useOrganization();
  const queries = useQueryClient();
  const navigate = useNavigate();
  const say = useSay();
  const [problem, setProblem] = useState<unknown>(null);
  const [header] = useState(once);
  const restore = async () => {
    try {
      const params = { path: { org_id: org, key_id: of.id }, header };
      await done(client.POST("/orgs/{org_id}/api_keys/{key_id}/restore", { params }));
      say(`${of.name || of.start} is back, and disabled. Enable it when you are sure.`);
      await queries.invalidateQueries({ queryKey: ["keys", org] });
      navigate(`/orgs/${org}/keys/${of.id}`);
    } catch (problem) {
      setProblem(problem);
    }
  };
  if (!can("api_keys:write")) return null;
  return (
    <div className="stack tight">
      <button type="button" className="small" aria-label={`Restore ${of.name || of.start}`} onClick={restore}>
        <Undo2 size={15} aria-hidden /> Restore
      </button>
      {problem !== null && <Failure of={problem} />}
    </div>
  );
}
