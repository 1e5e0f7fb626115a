// Creating a key, with all permissions that the session allows or some of them.

import { type FormEvent, useState } from "react";
import { hasReason, unwrap } from "../api/client.ts";
import { Dialog } from "../components/ui/dialog.tsx";
import { ErrorNotice } from "../components/ui/error-notice.tsx";
import { Field } from "../components/ui/field.tsx";
import { Notice } from "../components/ui/notice.tsx";
import { useIdempotencyKey } from "../hooks/use-idempotency-key.ts";
import { formatDuration, SECOND } from "../lib/time.ts";
import type { CreatedPortalKey, Session } from "./api.ts";
import type { DialogProps } from "./dialog-props.ts";
import { NewSecret } from "./new-secret.tsx";
import { usePortalAction } from "./use-portal-action.ts";

export function CreateKey({ session, client, onClose, onChanged, onEnded }: DialogProps & { session: Session }) {
  const ceiling = session.permissions_ceiling;
  const [name, setName] = useState("");
  const [permissions, setPermissions] = useState<readonly string[]>(ceiling);
  const [created, setCreated] = useState<CreatedPortalKey | null>(null);
  const { isBusy, error, run } = usePortalAction(onEnded);
  const body = { name: name.trim(), permissions: [...permissions] };
  const header = useIdempotencyKey(body);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    return run(async () => {
      setCreated(await unwrap(client.POST("/portal/api_keys", { params: { header }, body })));
    });
  };
  const finish = async () => {
    onClose();
    await onChanged();
  };
  if (created !== null) {
    return (
      <Dialog key="created" title={created.name} onClose={null}>
        <NewSecret secret={created.key} onDone={finish} />
      </Dialog>
    );
  }
  const toggle = (permission: string) =>
    setPermissions(
      // In the order of the ceiling.
      ceiling.filter((other) => (other === permission ? !permissions.includes(other) : permissions.includes(other))),
    );
  const lifetime = session.limits.max_lifetime_seconds;
  return (
    <Dialog title="Create an API key" onClose={isBusy ? null : onClose}>
      <form className="stack" onSubmit={submit}>
        <Field label="Name" hint="What the key is for.">
          <input value={name} maxLength={100} required onChange={(event) => setName(event.target.value)} />
        </Field>
        {ceiling.length > 0 && (
          <fieldset className="stack compact">
            <legend>Permissions</legend>
            {ceiling.map((permission) => (
              <label key={permission} className="checkbox">
                <input type="checkbox" checked={permissions.includes(permission)} onChange={() => toggle(permission)} />
                <code>{permission}</code>
              </label>
            ))}
          </fieldset>
        )}
        {lifetime != null && <p className="hint">The key expires after {formatDuration(lifetime * SECOND)}.</p>}
        {hasReason(error, "key_policy_violated") ? (
          <div role="alert">
            <Notice tone="danger">
              <span>
                A rule of the provider does not allow this key.{" "}
                {ceiling.length > 0 ? "Choose fewer permissions, or contact" : "Contact"} their support.
              </span>
            </Notice>
          </div>
        ) : (
          error !== null && <ErrorNotice error={error} />
        )}
        <div className="row end">
          <button type="button" disabled={isBusy} onClick={onClose}>
            Cancel
          </button>
          <button type="submit" className="primary" disabled={isBusy}>
            Create key
          </button>
        </div>
      </form>
    </Dialog>
  );
}
