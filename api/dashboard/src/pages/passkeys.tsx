// The passkeys of the caller: list, add, rename, remove.

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { addPasskey, isPasskeyAccount, passkeysQuery } from "../api/passkeys.ts";
import { client, type Schemas, unwrap } from "../api/client.ts";
import { ConfirmDialog } from "../components/ui/confirm-dialog.tsx";
import { FormDialog } from "../components/ui/form-dialog.tsx";
import { EmptyState } from "../components/ui/empty-state.tsx";
import { ErrorNotice } from "../components/ui/error-notice.tsx";
import { Field } from "../components/ui/field.tsx";
import { Loading } from "../components/ui/loading.tsx";
import { PageHeader } from "../components/ui/page-header.tsx";
import { RelativeTime } from "../components/ui/relative-time.tsx";
import { useAction } from "../hooks/use-action.ts";
import { useMe } from "../hooks/use-me.ts";
import { useToast } from "../hooks/use-toast.ts";
import { useUnsavedChanges } from "../hooks/use-unsaved-changes.ts";
import { hasPasskeys } from "../lib/passkey.ts";

type Passkey = Schemas["Passkey"];

export function Passkeys() {
  const me = useMe();
  const [isAdding, setAdding] = useState(false);
  const isAccount = isPasskeyAccount(me);
  return (
    <>
      <PageHeader
        title="Your passkeys"
        description="Each signs you in by itself. Add one for every device or password manager, so that you can lose one."
      >
        {isAccount && hasPasskeys() && (
          <button type="button" className="primary" onClick={() => setAdding(true)}>
            Add a passkey
          </button>
        )}
      </PageHeader>
      {isAccount ? (
        <PasskeyTable />
      ) : (
        <EmptyState title="You do not sign in with a passkey">
          <p>Only people who have joined or signed up with a passkey have passkeys.</p>
        </EmptyState>
      )}
      {isAdding && <AddPasskey onClose={() => setAdding(false)} />}
    </>
  );
}

function PasskeyTable() {
  const { data, error, refetch } = useQuery(passkeysQuery);
  const [renaming, setRenaming] = useState<Passkey | null>(null);
  const [removing, setRemoving] = useState<Passkey | null>(null);
  if (error !== null) return <ErrorNotice error={error} retry={refetch} />;
  if (data === undefined) return <Loading label="Loading passkeys" />;
  return (
    <div className="card table">
      <div className="table-scroll">
        <table className="responsive-table">
          <thead>
            <tr>
              <th scope="col">Name</th>
              <th scope="col">Added</th>
              <th scope="col">Last used</th>
              <th scope="col">Actions</th>
            </tr>
          </thead>
          <tbody>
            {data.map((passkey) => (
              <tr key={passkey.id}>
                <th scope="row">{passkey.name}</th>
                <td data-label="Added">
                  <RelativeTime at={passkey.created_at} />
                </td>
                <td data-label="Last used">
                  <RelativeTime at={passkey.last_used_at} />
                </td>
                <td>
                  <div className="row">
                    <button
                      type="button"
                      className="small"
                      aria-label={`Rename ${passkey.name}`}
                      onClick={() => setRenaming(passkey)}
                    >
                      Rename
                    </button>
                    {data.length > 1 && (
                      <button
                        type="button"
                        className="small danger"
                        aria-label={`Remove ${passkey.name}`}
                        onClick={() => setRemoving(passkey)}
                      >
                        Remove
                      </button>
                    )}
                  </div>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {renaming !== null && <RenamePasskey passkey={renaming} onClose={() => setRenaming(null)} />}
      {removing !== null && <RemovePasskey passkey={removing} onClose={() => setRemoving(null)} />}
    </div>
  );
}

/** Runs a change of the passkeys, and then shows the new list. */
function useChange(onClose: () => void) {
  const queries = useQueryClient();
  const toast = useToast();
  const action = useAction();
  const change = (operation: () => Promise<unknown>, text: string) =>
    action.run(async () => {
      await operation();
      await queries.invalidateQueries({ queryKey: passkeysQuery.queryKey });
      toast(text);
      onClose();
    });
  return { action, change };
}

function AddPasskey({ onClose }: { onClose: () => void }) {
  const { action, change } = useChange(onClose);
  return (
    <NameForm
      title="Add a passkey"
      label="Create passkey"
      initial=""
      action={action}
      onSubmit={(name) => change(() => addPasskey(name), `The passkey ${name} is added.`)}
      onClose={onClose}
    />
  );
}

function RenamePasskey({ passkey, onClose }: { passkey: Passkey; onClose: () => void }) {
  const { action, change } = useChange(onClose);
  const params = { path: { passkey_id: passkey.id } };
  const rename = (name: string) =>
    change(
      () => unwrap(client.PATCH("/me/passkeys/{passkey_id}", { params, body: { name } })),
      `The passkey is renamed to ${name}.`,
    );
  return (
    <NameForm
      title={`Rename ${passkey.name}`}
      label="Rename"
      initial={passkey.name}
      action={action}
      onSubmit={rename}
      onClose={onClose}
    />
  );
}

interface NameFormProps {
  title: string;
  /** Label of the button that submits. */
  label: string;
  initial: string;
  action: ReturnType<typeof useAction>;
  onSubmit: (name: string) => void;
  onClose: () => void;
}

function NameForm({ title, label, initial, action, onSubmit, onClose }: NameFormProps) {
  const [name, setName] = useState(initial);
  useUnsavedChanges(name !== initial);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    onSubmit(name.trim());
  };
  return (
    <FormDialog title={title} onClose={onClose}>
      {(cancel) => (
        <form className="stack" onSubmit={submit}>
          <Field label="Name" hint="Such as the device or password manager that has it.">
            <input value={name} required maxLength={100} onChange={(event) => setName(event.target.value)} />
          </Field>
          {action.error !== null && <ErrorNotice error={action.error} />}
          <div className="row end">
            <button type="button" onClick={cancel}>
              Cancel
            </button>
            <button type="submit" className="primary" disabled={action.isBusy}>
              {label}
            </button>
          </div>
        </form>
      )}
    </FormDialog>
  );
}

function RemovePasskey({ passkey, onClose }: { passkey: Passkey; onClose: () => void }) {
  const { action, change } = useChange(onClose);
  const params = { path: { passkey_id: passkey.id } };
  const remove = () =>
    change(
      () => unwrap(client.DELETE("/me/passkeys/{passkey_id}", { params })),
      `The passkey ${passkey.name} is removed.`,
    );
  return (
    <ConfirmDialog
      title={`Remove ${passkey.name}?`}
      confirmLabel="Remove passkey"
      action={action}
      onConfirm={remove}
      onClose={onClose}
    >
      <p>It can no longer be used to sign in. Delete it on the device, too.</p>
      <p className="muted">If the device was lost or stolen, also sign out everywhere: its sessions stay valid.</p>
    </ConfirmDialog>
  );
}
