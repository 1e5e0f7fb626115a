// Permission sets: named once, given to many keys and members, changed for all of them at once.

import { useQueryClient } from "@tanstack/react-query";
import { Plus } from "lucide-react";
import { type FormEvent, useState } from "react";
import { client, done, type PermissionSet } from "../api/client.ts";
import { useSetList } from "../api/lookups.ts";
import { Chips, Empty, Failure, Head, Loading, Notice, Time } from "../parts/basics.tsx";
import { Confirm } from "../parts/confirm.tsx";
import { Dialog } from "../parts/dialog.tsx";
import { Field } from "../parts/field.tsx";
import { PermissionPicker } from "../parts/permission-picker.tsx";
import { useSay } from "../parts/toast.tsx";
import { useAction } from "../parts/use-action.ts";
import { useOnce } from "../parts/use-once.ts";
import { useOrganization } from "../session.tsx";

export function Sets() {
  const { org, can } = useOrganization();
  const mayRead = can("permission_sets:read");
  const { data: sets, error, refetch } = useSetList(org, mayRead);
  const [edited, setEdited] = useState<PermissionSet | "new" | null>(null);
  const [removed, setRemoved] = useState<PermissionSet | null>(null);
  const mayChange = can("permission_sets:admin");
  const add = mayChange && (
    <button type="button" className="primary" onClick={() => setEdited("new")}>
      <Plus size={18} aria-hidden /> New set
    </button>
  );
  return (
    <>
      <Head title="Permission sets" about="Give the same permissions to many keys, and change them in one place.">
        {add}
      </Head>
      {!mayRead && <p className="faint">Permission sets are for those who hold permission_sets:read.</p>}
      {error !== null && <Failure of={error} retry={refetch} />}
      {mayRead && sets === undefined && error === null && <Loading what="Loading permission sets" />}
      {sets !== undefined && (
        <div className="card table">
          {sets.length === 0 ? (
            <Empty title="No permission sets yet">
              <p>A set like “readers” with files:read saves you from changing a hundred keys one by one.</p>
              {add}
            </Empty>
          ) : (
            <div className="scroll">
              <table className="cards">
                <thead>
                  <tr>
                    <th scope="col">Name</th>
                    <th scope="col">Permissions</th>
                    <th scope="col">Changed</th>
                    {mayChange && <th scope="col">Change</th>}
                  </tr>
                </thead>
                <tbody>
                  {sets.map((set) => (
                    <tr key={set.id}>
                      <th scope="row">{set.name}</th>
                      <td data-label="Permissions">
                        <Chips of={set.permissions} most={12} />
                      </td>
                      <td data-label="Changed">
                        <Time at={set.updated_at} />
                      </td>
                      {mayChange && (
                        <td>
                          <span className="row">
                            <button
                              type="button"
                              className="small"
                              aria-label={`Edit ${set.name}`}
                              onClick={() => setEdited(set)}
                            >
                              Edit
                            </button>
                            <button
                              type="button"
                              className="small danger"
                              aria-label={`Delete ${set.name}`}
                              onClick={() => setRemoved(set)}
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
      {edited !== null && <Edit of={edited === "new" ? null : edited} onClose={() => setEdited(null)} />}
      {removed !== null && <Remove of={removed} onClose={() => setRemoved(null)} />}
    </>
  );
}

function Edit({ of, onClose }: { of: PermissionSet | null; onClose: () => void }) {
  const { org, held } = useOrganization();
  const queries = useQueryClient();
  const say = useSay();
  const [name, setName] = useState(of?.name ?? "");
  const [permissions, setPermissions] = useState(of?.permissions ?? []);
  const { isBusy, problem, run } = useAction();
  const header = useOnce({ name, permissions });
  const save = (event: FormEvent) => {
    event.preventDefault();
    return run(async () => {
      const body = { name: name.trim(), permissions };
      if (of === null) {
        await done(client.POST("/orgs/{org_id}/permission_sets", { params: { path: { org_id: org }, header }, body }));
      } else {
        const path = { org_id: org, set_id: of.id };
        await done(client.PATCH("/orgs/{org_id}/permission_sets/{set_id}", { params: { path }, body }));
      }
      say(of === null ? `${name} is there to be given.` : `${name} is changed for all who have it.`);
      await queries.invalidateQueries({ queryKey: ["sets", org] });
      onClose();
    });
  };
  return (
    <Dialog title={of === null ? "New permission set" : `Edit ${of.name}`} onClose={onClose}>
      <form className="stack" onSubmit={save}>
        <Field label="Name" hint="Like readers, or billing.">
          <input value={name} required maxLength={100} onChange={(event) => setName(event.target.value)} />
        </Field>
        <PermissionPicker
          held={held}
          sets={[]}
          permissions={permissions}
          chosenSets={[]}
          onChange={(permissions) => setPermissions(permissions)}
        />
        {of !== null && (
          <Notice>
            <span>It holds at once for every key and member that has this set.</span>
          </Notice>
        )}
        {problem !== null && <Failure of={problem} />}
        <div className="row end">
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" className="primary" disabled={isBusy}>
            Save set
          </button>
        </div>
      </form>
    </Dialog>
  );
}

function Remove({ of, onClose }: { of: PermissionSet; onClose: () => void }) {
  const { org } = useOrganization();
  const queries = useQueryClient();
  const say = useSay();
  const [detach, setDetach] = useState(false);
  const action = useAction();
  const remove = () =>
    action.run(async () => {
      const params = { path: { org_id: org, set_id: of.id }, query: { detach } };
      await done(client.DELETE("/orgs/{org_id}/permission_sets/{set_id}", { params }));
      say(`${of.name} is deleted.`);
      await queries.invalidateQueries({ queryKey: ["sets", org] });
      onClose();
    });
  return (
    <Confirm title={`Delete ${of.name}?`} verb="Delete set" action={action} onConfirm={remove} onClose={onClose}>
      <p>A set that keys or members have is not deleted, unless you take it from them.</p>
      <label className="check">
        <input type="checkbox" checked={detach} onChange={(event) => setDetach(event.target.checked)} />
        Take it from all keys and members that have it: they lose these permissions at once
      </label>
    </Confirm>
  );
}
