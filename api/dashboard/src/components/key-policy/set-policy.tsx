// The rules for keys that have a permission set, in a dialog.

import { useQueryClient } from "@tanstack/react-query";
import { client, type PermissionSet, unwrap } from "../../api/client.ts";
import { useOrganization } from "../../hooks/use-organization.ts";
import { useToast } from "../../hooks/use-toast.ts";
import { FormDialog } from "../ui/form-dialog.tsx";
import { PolicyEditor } from "./policy-editor.tsx";

export function SetPolicy({ set, onClose }: { set: PermissionSet; onClose: () => void }) {
  const { org, can } = useOrganization();
  const queries = useQueryClient();
  const toast = useToast();
  return (
    <FormDialog title={`Key policy of ${set.name}`} onClose={onClose}>
      {(cancel) => (
        <>
          <p>They apply in addition to the rules of the organization.</p>
          <PolicyEditor
            org={org}
            set={set.id}
            policy={set.key_policy}
            canCheck={can("api_keys:read")}
            onSave={async (key_policy) => {
              const params = { path: { org_id: org, set_id: set.id } };
              const body = { key_policy };
              await unwrap(client.PATCH("/orgs/{org_id}/permission_sets/{set_id}", { params, body }));
              await queries.invalidateQueries({ queryKey: ["sets", org] });
              await queries.invalidateQueries({ queryKey: ["key-policy", org] });
              toast("Saved. The rules apply from now on.");
              onClose();
            }}
            onCancel={cancel}
          />
        </>
      )}
    </FormDialog>
  );
}
