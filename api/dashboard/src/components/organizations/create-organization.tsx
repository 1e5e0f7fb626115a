// Creating an organization, for platform callers.

import { useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { useNavigate } from "react-router";
import { ApiError, client, unwrap } from "../../api/client.ts";
import { useAction } from "../../hooks/use-action.ts";
import { useIdempotencyKey } from "../../hooks/use-idempotency-key.ts";
import { useToast } from "../../hooks/use-toast.ts";
import { useIsChanged } from "../../hooks/use-is-changed.ts";
import { useUnsavedChanges } from "../../hooks/use-unsaved-changes.ts";
import { FormDialog } from "../ui/form-dialog.tsx";
import { ErrorNotice } from "../ui/error-notice.tsx";
import { Field } from "../ui/field.tsx";

export function CreateOrganization({ onClose }: { onClose: () => void }) {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const toast = useToast();
  const [name, setName] = useState("");
  const [externalId, setExternalId] = useState("");
  const { isBusy, error, run } = useAction();
  const body = { name: name.trim(), ...(externalId.trim() !== "" && { external_id: externalId.trim() }) };
  const header = useIdempotencyKey(body);
  useUnsavedChanges(useIsChanged(body));
  const fields = error instanceof ApiError ? error.fields : {};
  const create = (event: FormEvent) => {
    event.preventDefault();
    return run(async () => {
      const created = await unwrap(client.POST("/orgs", { params: { header }, body }));
      toast(`${body.name} is created. Invite its first member.`);
      await queries.invalidateQueries({ queryKey: ["orgs"] });
      navigate(`/orgs/${created.id}/members`);
    });
  };
  return (
    <FormDialog title="Create an organization" onClose={onClose}>
      {(cancel) => (
        <form className="stack" onSubmit={create}>
          <p className="muted">The new organization has no members and no keys.</p>
          <Field label="Name" error={fields.name}>
            <input value={name} required maxLength={100} onChange={(event) => setName(event.target.value)} />
          </Field>
          <Field
            label="External id"
            hint="Optional: the identifier of the organization in your own system."
            error={fields.external_id}
          >
            <input value={externalId} maxLength={255} onChange={(event) => setExternalId(event.target.value)} />
          </Field>
          {error !== null && <ErrorNotice error={error} />}
          <div className="row end">
            <button type="button" onClick={cancel}>
              Cancel
            </button>
            <button type="submit" className="primary" disabled={isBusy}>
              Create organization
            </button>
          </div>
        </form>
      )}
    </FormDialog>
  );
}
