// Restoring a deleted organization.

import { useQueryClient } from "@tanstack/react-query";
import { Undo2 } from "lucide-react";
import { client, type Schemas, unwrap } from "../api/client.ts";
import { useAction } from "../hooks/use-action.ts";
import { useToast } from "../hooks/use-toast.ts";
import { ErrorNotice } from "./ui/error-notice.tsx";

export function RestoreOrganization({ organization }: { organization: Schemas["Organization"] }) {
  const queries = useQueryClient();
  const toast = useToast();
  const { isBusy, error, run } = useAction();
  const name = organization.name ?? "the unnamed organization";
  const restore = () =>
    run(async () => {
      await unwrap(client.POST("/orgs/{org_id}/restore", { params: { path: { org_id: organization.id } } }));
      toast(`${name} is restored, and its keys are valid again.`);
      await queries.invalidateQueries({ queryKey: ["orgs"] });
    });
  return (
    <div className="stack compact">
      <button type="button" className="small" aria-label={`Restore ${name}`} disabled={isBusy} onClick={restore}>
        <Undo2 size={15} aria-hidden /> Restore
      </button>
      {error !== null && <ErrorNotice error={error} />}
    </div>
  );
}
