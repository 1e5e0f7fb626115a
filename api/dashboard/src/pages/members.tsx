// Members: people, and what bounds the keys that belong to them.

import { useQueryClient } from "@tanstack/react-query";
import { Plus } from "lucide-react";
import { type FormEvent, useState } from "react";
import { useSearchParams } from "react-router";
import { client, done, type Member, type PermissionSet } from "../api/client.ts";
import { useKeys, useMembers, useSets } from "../api/lookups.ts";
import { Chips, Failure, Head, Loading, Notice, Time } from "../parts/basics.tsx";
import { Consequences } from "../parts/consequences.tsx";
import { Confirm } from "../parts/confirm.tsx";
import { Dialog } from "../parts/dialog.tsx";
import { Field } from "../parts/field.tsx";
import { names } from "../parts/key-table.tsx";
import { Pager } from "../parts/pager.tsx";
import { PermissionPicker } from "../parts/permission-picker.tsx";
import { useSay } from "../parts/toast.tsx";
import { useAction } from "../parts/use-action.ts";
import { useOnce } from "../parts/use-once.ts";
import { useMe, useOrganization } from "../session.tsx";

export function Members() {
  const { org, can } = useOrganization();
  const me = useMe();
  const [search] = useSearchParams();
  const after = search.get("after") ?? undefined;
  const { data, error, refetch } = useMembers(org, after, true);
  const sets = useSets(org, can("permission_sets:read"));
  const [edited, setEdited] = useState<Member | "new" | null>(null);
  const [removed, setRemoved] = useState<Member | null>(null);
  const mayChange = can("members:admin");
  return (
    <>
      <Head
        title="Members"
        about="A member's keys can never do more than the member. When a member is removed, their keys stop working."
      >
        {mayChange && (
          <button type="button" className="primary" onClick={() => setEdited("new")}>
            <Plus size={18} aria-hidden /> Add member
          </button>
        )}
      </Head>
      {error !== null && <Failure of={error} retry={refetch} />}
      <div className="card table">
        {data === undefined && error === null && <Loading what="Loading members" />}
        {data !== undefined && (
          <div className="scroll">
            <table className="cards">
              <thead>
                <tr>
                  <th scope="col">Name</th>
                  <th scope="col">Permissions</th>
                  <th scope="col">Since</th>
                  {mayChange && <th scope="col">Change</th>}
                </tr>
              </thead>
              <tbody>
                {data.items.map((member) => (
                  <tr key={member.user_id}>
                    <th scope="row">
                      {member.user_name}
                      {member.user_id === me.user?.id && " (you)"}
                      <br />
                      <span className="faint small">{member.user_email ?? "from an identity provider"}</span>
                    </th>
                    <td data-label="Permissions">
                      <Chips of={member.permissions} sets={names(member, sets)} most={12} />
                    </td>
                    <td data-label="Since">
                      <Time at={member.created_at} />
                    </td>
                    {mayChange && (
                      <td>
                        <span className="row">
                          <button
                            type="button"
                            className="small"
                            aria-label={`Edit ${member.user_name}`}
                            onClick={() => setEdited(member)}
                          >
                            Edit
                          </button>
                          <button
                            type="button"
                            className="small danger"
                            aria-label={`Remove ${member.user_name}`}
                            onClick={() => setRemoved(member)}
                          >
                            Remove
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
      {data !== undefined && <Pager next={data.next} />}
      {edited !== null && <Edit of={edited === "new" ? null : edited} sets={sets} onClose={() => setEdited(null)} />}
      {removed !== null && <Remove of={removed} onClose={() => setRemoved(null)} />}
    </>
  );
}

function Edit({ of, sets, onClose }: { of: Member | null; sets: PermissionSet[]; onClose: () => void }) {
  const { org, held } = useOrganization();
  const queries = useQueryClient();
  const say = useSay();
  const [name, setName] = useState("");
  const [email, setEmail] = useState("");
  const [permissions, setPermissions] = useState(of?.permissions ?? []);
  const [chosen, setChosen] = useState(of?.permission_sets ?? []);
  const { isBusy, problem, run } = useAction();
  const header = useOnce({ name, email, permissions, chosen });
  const save = (event: FormEvent) => {
    event.preventDefault();
    return run(async () => {
      const grants = { permissions, permission_sets: chosen };
      if (of === null) {
        const body = { user_name: name.trim(), user_email: email.trim(), ...grants };
        await done(client.POST("/orgs/{org_id}/members", { params: { path: { org_id: org }, header }, body }));
      } else {
        const path = { org_id: org, user_id: of.user_id };
        await done(client.PATCH("/orgs/{org_id}/members/{user_id}", { params: { path }, body: grants }));
      }
      say(of === null ? `${name} is a member now.` : `What ${of.user_name} may do is changed.`);
      await queries.invalidateQueries({ queryKey: ["members", org] });
      onClose();
    });
  };
  return (
    <Dialog title={of === null ? "Add a member" : `What ${of.user_name} may do`} onClose={onClose}>
      <form className="stack" onSubmit={save}>
        {of === null && (
          <div className="pair">
            <Field label="Name">
              <input value={name} required maxLength={100} onChange={(event) => setName(event.target.value)} />
            </Field>
            <Field label="E-mail address" hint="If somebody has this address already, they are added.">
              <input type="email" value={email} required onChange={(event) => setEmail(event.target.value)} />
            </Field>
          </div>
        )}
        <PermissionPicker
          held={held}
          sets={sets}
          permissions={permissions}
          chosenSets={chosen}
          onChange={(permissions, sets) => {
            setPermissions(permissions);
            setChosen(sets);
          }}
        />
        {problem !== null && <Failure of={problem} />}
        <div className="row end">
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" className="primary" disabled={isBusy}>
            {of === null ? "Add member" : "Save"}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

function Remove({ of, onClose }: { of: Member; onClose: () => void }) {
  const { org, can } = useOrganization();
  const me = useMe();
  const { data: keys } = useKeys(org, { user: of.user_id, sort: "-last_used_at", limit: 50 }, can("api_keys:read"));
  const queries = useQueryClient();
  const say = useSay();
  const action = useAction();
  const remove = () =>
    action.run(async () => {
      const path = { org_id: org, user_id: of.user_id };
      await done(client.DELETE("/orgs/{org_id}/members/{user_id}", { params: { path } }));
      say(`${of.user_name} is no member any more.`);
      await queries.invalidateQueries({ queryKey: ["members", org] });
      onClose();
    });
  return (
    <Confirm
      title={`Remove ${of.user_name}?`}
      verb="Remove member"
      action={action}
      onConfirm={remove}
      onClose={onClose}
    >
      <p>All keys that belong to them here are refused from now on, everywhere.</p>
      {of.user_id === me.user?.id && (
        <Notice tone="bad">
          <strong>That is you.</strong>
          <span>You will be signed out.</span>
        </Notice>
      )}
      {keys !== undefined && keys.items.length === 0 && <p className="faint">No key belongs to them.</p>}
      {keys !== undefined && keys.items.length > 0 && <Consequences keys={keys.items} />}
      {keys?.next != null && <p className="faint">These are the 50 that were used last.</p>}
    </Confirm>
  );
}
