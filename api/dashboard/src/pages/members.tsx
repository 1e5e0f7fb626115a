// The members of an organization. A member's permissions also limit the member's keys.

import { useQueryClient } from "@tanstack/react-query";
import { Link, Plus } from "lucide-react";
import { type FormEvent, useState } from "react";
import { useSearchParams } from "react-router";
import { client, type Member, type PermissionSet, unwrap } from "../api/client.ts";
import { useKeys, useMembers, useSets } from "../api/queries.ts";
import { InviteMember, OpenInvitations, RecoverMember } from "../components/invitations.tsx";
import { RevokeImpact } from "../components/keys/actions/revoke-impact.tsx";
import { MemberSessions } from "../components/member-sessions.tsx";
import { PermissionChips } from "../components/permission-chips.tsx";
import { PermissionPicker } from "../components/permission-picker.tsx";
import { ConfirmDialog } from "../components/ui/confirm-dialog.tsx";
import { FormDialog } from "../components/ui/form-dialog.tsx";
import { ErrorNotice } from "../components/ui/error-notice.tsx";
import { Field } from "../components/ui/field.tsx";
import { Loading } from "../components/ui/loading.tsx";
import { Notice } from "../components/ui/notice.tsx";
import { PageHeader } from "../components/ui/page-header.tsx";
import { Pager } from "../components/ui/pager.tsx";
import { RelativeTime } from "../components/ui/relative-time.tsx";
import { useAction } from "../hooks/use-action.ts";
import { useIdempotencyKey } from "../hooks/use-idempotency-key.ts";
import { useOrganization } from "../hooks/use-organization.ts";
import { useToast } from "../hooks/use-toast.ts";
import { useIsChanged } from "../hooks/use-is-changed.ts";
import { useUnsavedChanges } from "../hooks/use-unsaved-changes.ts";
import { setNames } from "../lib/permissions.ts";

export function Members() {
  const { org, can, user } = useOrganization();
  const [search] = useSearchParams();
  const cursor = search.get("after") ?? undefined;
  const { data, error, refetch } = useMembers(org, cursor, true);
  const sets = useSets(org, can("permission_sets:read"));
  const [editing, setEditing] = useState<Member | "new" | null>(null);
  const [removing, setRemoving] = useState<Member | null>(null);
  const [showingSessions, setShowingSessions] = useState<Member | null>(null);
  const [recovering, setRecovering] = useState<Member | null>(null);
  const [isInviting, setInviting] = useState(false);
  const canChange = can("members:admin");
  return (
    <>
      <PageHeader
        title="Members"
        description="A member's keys never have more permissions than the member. When a member is removed, their keys stop working."
      >
        {canChange && (
          <>
            <button type="button" onClick={() => setEditing("new")}>
              <Plus size={18} aria-hidden /> Add member
            </button>
            <button type="button" className="primary" onClick={() => setInviting(true)}>
              <Link size={18} aria-hidden /> Invite
            </button>
          </>
        )}
      </PageHeader>
      {error !== null && <ErrorNotice error={error} retry={refetch} />}
      <div className="card table">
        {data === undefined && error === null && <Loading label="Loading members" />}
        {data !== undefined && (
          <div className="table-scroll">
            <table className="responsive-table">
              <thead>
                <tr>
                  <th scope="col">Name</th>
                  <th scope="col">Permissions</th>
                  <th scope="col">Added</th>
                  {canChange && <th scope="col">Actions</th>}
                </tr>
              </thead>
              <tbody>
                {data.items.map((member) => (
                  <tr key={member.user_id}>
                    <th scope="row">
                      {member.user_name}
                      {member.user_id === user && " (you)"}
                      <br />
                      <span className="muted small">{member.user_email ?? "from an identity provider"}</span>
                    </th>
                    <td data-label="Permissions">
                      <PermissionChips
                        permissions={member.permissions}
                        sets={setNames(member.permission_sets, sets)}
                        max={12}
                      />
                    </td>
                    <td data-label="Added">
                      <RelativeTime at={member.created_at} />
                    </td>
                    {canChange && (
                      <td>
                        <span className="row">
                          <button
                            type="button"
                            className="small"
                            aria-label={`Edit ${member.user_name}`}
                            onClick={() => setEditing(member)}
                          >
                            Edit
                          </button>
                          <button
                            type="button"
                            className="small"
                            aria-label={`Sessions of ${member.user_name}`}
                            onClick={() => setShowingSessions(member)}
                          >
                            Sessions
                          </button>
                          <button
                            type="button"
                            className="small"
                            aria-label={`Create a recovery link for ${member.user_name}`}
                            onClick={() => setRecovering(member)}
                          >
                            Recovery link
                          </button>
                          <button
                            type="button"
                            className="small danger"
                            aria-label={`Remove ${member.user_name}`}
                            onClick={() => setRemoving(member)}
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
      <OpenInvitations sets={sets} />
      {editing !== null && (
        <EditMember member={editing === "new" ? null : editing} sets={sets} onClose={() => setEditing(null)} />
      )}
      {showingSessions !== null && <MemberSessions member={showingSessions} onClose={() => setShowingSessions(null)} />}
      {isInviting && <InviteMember sets={sets} onClose={() => setInviting(false)} />}
      {recovering !== null && <RecoverMember member={recovering} onClose={() => setRecovering(null)} />}
      {removing !== null && <RemoveMember member={removing} onClose={() => setRemoving(null)} />}
    </>
  );
}

function EditMember({ member, sets, onClose }: { member: Member | null; sets: PermissionSet[]; onClose: () => void }) {
  const { org, held } = useOrganization();
  const queries = useQueryClient();
  const toast = useToast();
  const [name, setName] = useState("");
  const [email, setEmail] = useState("");
  const [permissions, setPermissions] = useState(member?.permissions ?? []);
  const [chosenSets, setChosenSets] = useState(member?.permission_sets ?? []);
  const { isBusy, error, run } = useAction();
  const values = { name, email, permissions, chosenSets };
  const header = useIdempotencyKey(values);
  useUnsavedChanges(useIsChanged(values));
  const save = (event: FormEvent) => {
    event.preventDefault();
    return run(async () => {
      const granted = { permissions, permission_sets: chosenSets };
      if (member === null) {
        const body = { user_name: name.trim(), user_email: email.trim(), ...granted };
        await unwrap(client.POST("/orgs/{org_id}/members", { params: { path: { org_id: org }, header }, body }));
      } else {
        const path = { org_id: org, user_id: member.user_id };
        await unwrap(client.PATCH("/orgs/{org_id}/members/{user_id}", { params: { path }, body: granted }));
      }
      toast(member === null ? `${name} is now a member.` : `The permissions of ${member.user_name} are changed.`);
      await queries.invalidateQueries({ queryKey: ["members", org] });
      onClose();
    });
  };
  return (
    <FormDialog title={member === null ? "Add a member" : `Permissions of ${member.user_name}`} onClose={onClose}>
      {(cancel) => (
        <form className="stack" onSubmit={save}>
          {member === null && (
            <div className="field-pair">
              <Field label="Name">
                <input value={name} required maxLength={100} onChange={(event) => setName(event.target.value)} />
              </Field>
              <Field label="E-mail address" hint="Each member has a different address. It is not verified.">
                <input type="email" value={email} required onChange={(event) => setEmail(event.target.value)} />
              </Field>
            </div>
          )}
          <PermissionPicker
            held={held}
            sets={sets}
            permissions={permissions}
            chosenSets={chosenSets}
            onChange={(permissions, sets) => {
              setPermissions(permissions);
              setChosenSets(sets);
            }}
          />
          {error !== null && <ErrorNotice error={error} />}
          <div className="row end">
            <button type="button" onClick={cancel}>
              Cancel
            </button>
            <button type="submit" className="primary" disabled={isBusy}>
              {member === null ? "Add member" : "Save"}
            </button>
          </div>
        </form>
      )}
    </FormDialog>
  );
}

function RemoveMember({ member, onClose }: { member: Member; onClose: () => void }) {
  const { org, can, user } = useOrganization();
  const { data: keys } = useKeys(org, { user: member.user_id, sort: "-last_used_at", limit: 50 }, can("api_keys:read"));
  const queries = useQueryClient();
  const toast = useToast();
  const action = useAction();
  const remove = () =>
    action.run(async () => {
      const path = { org_id: org, user_id: member.user_id };
      await unwrap(client.DELETE("/orgs/{org_id}/members/{user_id}", { params: { path } }));
      toast(`${member.user_name} is removed.`);
      await queries.invalidateQueries({ queryKey: ["members", org] });
      onClose();
    });
  return (
    <ConfirmDialog
      title={`Remove ${member.user_name}?`}
      confirmLabel="Remove member"
      action={action}
      onConfirm={remove}
      onClose={onClose}
    >
      <p>Their name and e-mail address are erased here. All of their keys in this organization stop working at once.</p>
      {member.user_id === user && (
        <Notice tone="danger">
          <strong>This is you.</strong>
          <span>You will be signed out.</span>
        </Notice>
      )}
      {keys !== undefined && keys.items.length === 0 && <p className="muted">They have no keys.</p>}
      {keys !== undefined && keys.items.length > 0 && <RevokeImpact keys={keys.items} />}
      {keys?.next != null && <p className="muted">Only the 50 most recently used keys are shown.</p>}
    </ConfirmDialog>
  );
}
