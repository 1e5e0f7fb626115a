// Invitations and recovery links: the open ones of an organization, and new ones, whose link is shown once.

import { useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import {
  client,
  type CreatedInvitation,
  type Invitation,
  type Member,
  type PermissionSet,
  unwrap,
} from "../api/client.ts";
import { useInvitations } from "../api/queries.ts";
import { endSession } from "../api/session.ts";
import { useAction } from "../hooks/use-action.ts";
import { useIdempotencyKey } from "../hooks/use-idempotency-key.ts";
import { useKeepPageOpen } from "../hooks/use-keep-page-open.ts";
import { useOrganization } from "../hooks/use-organization.ts";
import { useToast } from "../hooks/use-toast.ts";
import { useIsChanged } from "../hooks/use-is-changed.ts";
import { useUnsavedChanges } from "../hooks/use-unsaved-changes.ts";
import { setNames } from "../lib/permissions.ts";
import { serviceUrl } from "../lib/service-url.ts";
import { formatExact } from "../lib/time.ts";
import { PermissionChips } from "./permission-chips.tsx";
import { PermissionPicker } from "./permission-picker.tsx";
import { Badge } from "./ui/badge.tsx";
import { ConfirmDialog } from "./ui/confirm-dialog.tsx";
import { CopyButton } from "./ui/copy-button.tsx";
import { Dialog } from "./ui/dialog.tsx";
import { FormDialog } from "./ui/form-dialog.tsx";
import { ErrorNotice } from "./ui/error-notice.tsx";
import { Field } from "./ui/field.tsx";
import { Notice } from "./ui/notice.tsx";
import { RelativeTime } from "./ui/relative-time.tsx";

/** The open invitations and recovery links of the organization; nothing if there are none. */
export function OpenInvitations({ sets }: { sets: PermissionSet[] }) {
  const { org, can } = useOrganization();
  const { data, error, refetch } = useInvitations(org, can("members:read"));
  const [revoking, setRevoking] = useState<Invitation | null>(null);
  const canChange = can("members:admin");
  if (error !== null) return <ErrorNotice error={error} retry={refetch} />;
  if (data === undefined || data.items.length === 0) return null;
  return (
    <section aria-labelledby="open-invitations" className="stack">
      <h2 id="open-invitations">Open invitations</h2>
      <div className="card table">
        <div className="table-scroll">
          <table className="responsive-table">
            <thead>
              <tr>
                <th scope="col">Name</th>
                <th scope="col">Permissions</th>
                <th scope="col">Expires</th>
                {canChange && <th scope="col">Actions</th>}
              </tr>
            </thead>
            <tbody>
              {data.items.map((invitation) => (
                <tr key={invitation.id}>
                  <th scope="row">
                    {invitation.user_name} {invitation.kind === "recovery" && <Badge tone="warning">Recovery</Badge>}
                    <br />
                    <span className="muted small">{invitation.user_email}</span>
                  </th>
                  <td data-label="Permissions">
                    {invitation.kind === "recovery" ? (
                      <span className="muted">those of the member</span>
                    ) : (
                      <PermissionChips
                        permissions={invitation.permissions}
                        sets={setNames(invitation.permission_sets, sets)}
                        max={12}
                      />
                    )}
                  </td>
                  <td data-label="Expires">
                    <RelativeTime at={invitation.expires_at} />
                  </td>
                  {canChange && (
                    <td>
                      <button
                        type="button"
                        className="small danger"
                        aria-label={`Revoke the link for ${invitation.user_name}`}
                        onClick={() => setRevoking(invitation)}
                      >
                        Revoke
                      </button>
                    </td>
                  )}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </div>
      {revoking !== null && <RevokeInvitation invitation={revoking} onClose={() => setRevoking(null)} />}
    </section>
  );
}

function RevokeInvitation({ invitation, onClose }: { invitation: Invitation; onClose: () => void }) {
  const { org } = useOrganization();
  const queries = useQueryClient();
  const toast = useToast();
  const action = useAction();
  const revoke = () =>
    action.run(async () => {
      const path = { org_id: org, invitation_id: invitation.id };
      await unwrap(client.DELETE("/orgs/{org_id}/invitations/{invitation_id}", { params: { path } }));
      toast(`The link for ${invitation.user_name} is revoked.`);
      await queries.invalidateQueries({ queryKey: ["invitations", org] });
      onClose();
    });
  return (
    <ConfirmDialog
      title={`Revoke the link for ${invitation.user_name}?`}
      confirmLabel="Revoke link"
      action={action}
      onConfirm={revoke}
      onClose={onClose}
    >
      <p>It can no longer be used. You can create another one.</p>
    </ConfirmDialog>
  );
}

/** Invites a new member. */
export function InviteMember({ sets, onClose }: { sets: PermissionSet[]; onClose: () => void }) {
  const { org, held } = useOrganization();
  const queries = useQueryClient();
  const [name, setName] = useState("");
  const [email, setEmail] = useState("");
  const [permissions, setPermissions] = useState<string[]>([]);
  const [chosenSets, setChosenSets] = useState<string[]>([]);
  const [created, setCreated] = useState<CreatedInvitation | null>(null);
  const { isBusy, error, run } = useAction();
  const values = { name, email, permissions, chosenSets };
  const header = useIdempotencyKey(values);
  useUnsavedChanges(useIsChanged(values) && created === null);
  const invite = (event: FormEvent) => {
    event.preventDefault();
    return run(async () => {
      const body = {
        user_name: name.trim(),
        user_email: email.trim() === "" ? null : email.trim(),
        permissions,
        permission_sets: chosenSets,
      };
      const params = { path: { org_id: org }, header };
      setCreated(await unwrap(client.POST("/orgs/{org_id}/invitations", { params, body })));
      await queries.invalidateQueries({ queryKey: ["invitations", org] });
    });
  };
  if (created !== null) return <NewLink title="Invitation created" created={created} onDone={onClose} />;
  return (
    <FormDialog title="Invite a member" onClose={onClose}>
      {(cancel) => (
        <form className="stack" onSubmit={invite}>
          <p className="muted">
            You get a link to give to the person. It is valid once and for 72 hours, and only as long as you have these
            permissions yourself.
          </p>
          <div className="field-pair">
            <Field label="Name">
              <input value={name} required maxLength={100} onChange={(event) => setName(event.target.value)} />
            </Field>
            <Field label="E-mail address" hint="Optional. No mail is sent.">
              <input type="email" value={email} onChange={(event) => setEmail(event.target.value)} />
            </Field>
          </div>
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
              Create link
            </button>
          </div>
        </form>
      )}
    </FormDialog>
  );
}

/** Creates a recovery link for a member. */
export function RecoverMember({ member, onClose }: { member: Member; onClose: () => void }) {
  const { org, user } = useOrganization();
  const queries = useQueryClient();
  const [created, setCreated] = useState<CreatedInvitation | null>(null);
  const header = useIdempotencyKey(member.user_id);
  const action = useAction();
  const create = () =>
    action.run(async () => {
      const params = { path: { org_id: org, user_id: member.user_id }, header };
      setCreated(await unwrap(client.POST("/orgs/{org_id}/members/{user_id}/recovery_links", { params })));
      await queries.invalidateQueries({ queryKey: ["invitations", org] });
    });
  const close = () => {
    // The link has ended the sessions of the member.
    if (created !== null && member.user_id === user) endSession(queries, false);
    onClose();
  };
  if (created !== null) return <NewLink title="Recovery link created" created={created} onDone={close} />;
  return (
    <ConfirmDialog
      title={`Create a recovery link for ${member.user_name}?`}
      confirmLabel="Create link"
      action={action}
      onConfirm={create}
      onClose={onClose}
    >
      <p>
        The person who opens the link signs in as {member.user_name} from then on. Their sessions end now. When the link
        is used, their other passkeys stop working here.
      </p>
      <p className="muted">Make sure that you give it to the right person. An earlier link for them is revoked.</p>
    </ConfirmDialog>
  );
}

/** A new link, which is shown once. */
function NewLink({ title, created, onDone }: { title: string; created: CreatedInvitation; onDone: () => void }) {
  useKeepPageOpen();
  const link = created.url ?? (created.token === null ? null : `${serviceUrl()}/#/invitation/${created.token}`);
  return (
    <Dialog title={title} onClose={null}>
      {link === null ? (
        <div role="alert">
          <Notice tone="danger">
            <strong>The link was created, but the response was lost.</strong>
            <span>It cannot be shown again. Revoke it, and create another one.</span>
          </Notice>
        </div>
      ) : (
        <>
          <Notice tone="warning">
            <strong>You will not see this link again.</strong>
            <span>
              Give it to {created.user_name} yourself: no mail is sent. It is valid once, until{" "}
              {formatExact(created.expires_at)}.
            </span>
          </Notice>
          <div className="secret">
            <output aria-label="The new link">{link}</output>
            <CopyButton text={link} label="link" isPrimary />
          </div>
        </>
      )}
      <div className="row end">
        <button type="button" className="primary" onClick={onDone}>
          Done
        </button>
      </div>
    </Dialog>
  );
}
