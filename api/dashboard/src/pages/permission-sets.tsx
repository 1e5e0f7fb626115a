// Permission sets: named permissions that many keys and members can have.

import { useQueryClient } from "@tanstack/react-query";
import { Plus } from "lucide-react";
import { type FormEvent, useState } from "react";
import { Link } from "react-router";
import { client, type PermissionSet, unwrap } from "../api/client.ts";
import { formatCounted, useSetHolders, useSetList } from "../api/queries.ts";
import { PermissionChips } from "../components/permission-chips.tsx";
import { PermissionPicker } from "../components/permission-picker.tsx";
import { SetPolicy } from "../components/key-policy/set-policy.tsx";
import { ConfirmDialog } from "../components/ui/confirm-dialog.tsx";
import { FormDialog } from "../components/ui/form-dialog.tsx";
import { EmptyState } from "../components/ui/empty-state.tsx";
import { ErrorNotice } from "../components/ui/error-notice.tsx";
import { Field } from "../components/ui/field.tsx";
import { Loading } from "../components/ui/loading.tsx";
import { Notice } from "../components/ui/notice.tsx";
import { PageHeader } from "../components/ui/page-header.tsx";
import { RelativeTime } from "../components/ui/relative-time.tsx";
import { useAction } from "../hooks/use-action.ts";
import { useIdempotencyKey } from "../hooks/use-idempotency-key.ts";
import { useOrganization } from "../hooks/use-organization.ts";
import { useToast } from "../hooks/use-toast.ts";
import { useIsChanged } from "../hooks/use-is-changed.ts";
import { useUnsavedChanges } from "../hooks/use-unsaved-changes.ts";

export function PermissionSets() {
  const { org, can } = useOrganization();
  const canRead = can("permission_sets:read");
  const { data: sets, error, refetch } = useSetList(org, canRead);
  const [editing, setEditing] = useState<PermissionSet | "new" | null>(null);
  const [deleting, setDeleting] = useState<PermissionSet | null>(null);
  const [policySet, setPolicySet] = useState<PermissionSet | null>(null);
  const canChange = can("permission_sets:admin");
  const add = canChange && (
    <button type="button" className="primary" onClick={() => setEditing("new")}>
      <Plus size={18} aria-hidden /> New set
    </button>
  );
  return (
    <>
      <PageHeader
        title="Permission sets"
        description="Give the same permissions to many keys, and change them in one place."
      >
        {add}
      </PageHeader>
      {!canRead && <p className="muted">Permission sets need the permission permission_sets:read.</p>}
      {error !== null && <ErrorNotice error={error} retry={refetch} />}
      {canRead && sets === undefined && error === null && <Loading label="Loading permission sets" />}
      {sets !== undefined && (
        <div className="card table">
          {sets.length === 0 ? (
            <EmptyState title="No permission sets yet">
              <p>A set like “readers” with files:read lets you change the permissions of many keys in one place.</p>
              {add}
            </EmptyState>
          ) : (
            <div className="table-scroll">
              <table className="responsive-table">
                <thead>
                  <tr>
                    <th scope="col">Name</th>
                    <th scope="col">Permissions</th>
                    <th scope="col">Changed</th>
                    {canChange && <th scope="col">Actions</th>}
                  </tr>
                </thead>
                <tbody>
                  {sets.map((set) => (
                    <tr key={set.id}>
                      <th scope="row">{set.name}</th>
                      <td data-label="Permissions">
                        <PermissionChips permissions={set.permissions} max={12} />
                      </td>
                      <td data-label="Changed">
                        <RelativeTime at={set.updated_at} />
                      </td>
                      {canChange && (
                        <td>
                          <span className="row">
                            <button
                              type="button"
                              className="small"
                              aria-label={`Edit ${set.name}`}
                              onClick={() => setEditing(set)}
                            >
                              Edit
                            </button>
                            <button
                              type="button"
                              className="small"
                              aria-label={`Policy of ${set.name}`}
                              onClick={() => setPolicySet(set)}
                            >
                              {set.key_policy === null ? "Add policy" : "Policy"}
                            </button>
                            <button
                              type="button"
                              className="small danger"
                              aria-label={`Delete ${set.name}`}
                              onClick={() => setDeleting(set)}
                            >
                              Delete
                            </button>
                          </span>
                        </td>
                      )}
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )}
        </div>
      )}
      {editing !== null && <EditSet set={editing === "new" ? null : editing} onClose={() => setEditing(null)} />}
      {policySet !== null && <SetPolicy set={policySet} onClose={() => setPolicySet(null)} />}
      {deleting !== null && <DeleteSet set={deleting} onClose={() => setDeleting(null)} />}
    </>
  );
}

function EditSet({ set, onClose }: { set: PermissionSet | null; onClose: () => void }) {
  const { org, held } = useOrganization();
  const queries = useQueryClient();
  const toast = useToast();
  const [name, setName] = useState(set?.name ?? "");
  const [permissions, setPermissions] = useState(set?.permissions ?? []);
  const { isBusy, error, run } = useAction();
  const values = { name, permissions };
  const header = useIdempotencyKey(values);
  useUnsavedChanges(useIsChanged(values));
  const save = (event: FormEvent) => {
    event.preventDefault();
    return run(async () => {
      const body = { name: name.trim(), permissions };
      if (set === null) {
        await unwrap(
          client.POST("/orgs/{org_id}/permission_sets", { params: { path: { org_id: org }, header }, body }),
        );
      } else {
        const path = { org_id: org, set_id: set.id };
        await unwrap(client.PATCH("/orgs/{org_id}/permission_sets/{set_id}", { params: { path }, body }));
      }
      toast(set === null ? `${name} is created.` : `${name} is changed for all keys and members that have it.`);
      await queries.invalidateQueries({ queryKey: ["sets", org] });
      onClose();
    });
  };
  return (
    <FormDialog title={set === null ? "New permission set" : `Edit ${set.name}`} onClose={onClose}>
      {(cancel) => (
        <form className="stack" onSubmit={save}>
          <Field label="Name" hint="For example readers or billing.">
            <input value={name} required maxLength={100} onChange={(event) => setName(event.target.value)} />
          </Field>
          <PermissionPicker
            held={held}
            sets={[]}
            permissions={permissions}
            chosenSets={[]}
            onChange={(permissions) => setPermissions(permissions)}
          />
          {set !== null && <SetImpact set={set}>A change applies to them at once.</SetImpact>}
          {error !== null && <ErrorNotice error={error} />}
          <div className="row end">
            <button type="button" onClick={cancel}>
              Cancel
            </button>
            <button type="submit" className="primary" disabled={isBusy}>
              Save set
            </button>
          </div>
        </form>
      )}
    </FormDialog>
  );
}

/** How many keys and members have a set, and what a change means for them. */
function SetImpact({ set, children }: { set: PermissionSet; children: string }) {
  const { org, can } = useOrganization();
  const { data } = useSetHolders(org, set.id);
  if (data === undefined) return <Loading lines={1} label="Counting the keys and members that have this set" />;
  const { api_keys: keys, members } = data;
  if (keys === 0 && members === 0) {
    return (
      <Notice tone="success">
        <span>No key and no member has this set.</span>
      </Notice>
    );
  }
  return (
    <Notice tone="warning">
      <strong>
        {keys === 1 ? "1 key" : `${formatCounted(keys)} keys`} and{" "}
        {members === 1 ? "1 member" : `${formatCounted(members)} members`} have this set.
      </strong>
      <span>
        {children}{" "}
        {keys > 0 && can("api_keys:read") && <Link to={`/orgs/${org}/keys?set=${set.id}`}>Show the keys</Link>}
      </span>
    </Notice>
  );
}

function DeleteSet({ set, onClose }: { set: PermissionSet; onClose: () => void }) {
  const { org } = useOrganization();
  const queries = useQueryClient();
  const toast = useToast();
  const [detach, setDetach] = useState(false);
  const action = useAction();
  const deleteSet = () =>
    action.run(async () => {
      const params = { path: { org_id: org, set_id: set.id }, query: { detach } };
      await unwrap(client.DELETE("/orgs/{org_id}/permission_sets/{set_id}", { params }));
      toast(`${set.name} is deleted.`);
      await queries.invalidateQueries({ queryKey: ["sets", org] });
      onClose();
    });
  return (
    <ConfirmDialog
      title={`Delete ${set.name}?`}
      confirmLabel="Delete set"
      action={action}
      onConfirm={deleteSet}
      onClose={onClose}
    >
      <SetImpact set={set}>While they have this set, it can only be deleted if it is detached from them.</SetImpact>
      <label className="checkbox">
        <input type="checkbox" checked={detach} onChange={(event) => setDetach(event.target.checked)} />
        Detach it from all keys and members: they lose these permissions at once
      </label>
    </ConfirmDialog>
  );
}
