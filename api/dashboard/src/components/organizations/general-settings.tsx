// The name of an organization, and what it has been since when.

import { type FormEvent, useState } from "react";
import type { Schemas } from "../../api/client.ts";
import { useAction } from "../../hooks/use-action.ts";
import { useToast } from "../../hooks/use-toast.ts";
import { useUpdateOrganization } from "../../hooks/use-update-organization.ts";
import { useUnsavedChanges } from "../../hooks/use-unsaved-changes.ts";
import { CopyButton } from "../ui/copy-button.tsx";
import { ErrorNotice } from "../ui/error-notice.tsx";
import { Field } from "../ui/field.tsx";
import { RelativeTime } from "../ui/relative-time.tsx";
import { OrganizationStatus } from "./organization-list.tsx";

interface Props {
  organization: Schemas["Organization"];
  canChange: boolean;
  /** Whether the caller can change the external id. */
  isPlatform: boolean;
}

export function GeneralSettings({ organization, canChange, isPlatform }: Props) {
  return (
    <section className="card stack" aria-label="General">
      <h2>General</h2>
      {canChange ? (
        <NameForm
          key={`${organization.name} ${organization.external_id}`}
          organization={organization}
          isPlatform={isPlatform}
        />
      ) : (
        <p className="hint">Changing the name needs the permission org:admin.</p>
      )}
      <dl className="description-list">
        {!canChange && (
          <>
            <dt>Name</dt>
            <dd>{organization.name ?? <span className="muted">none</span>}</dd>
          </>
        )}
        {!(canChange && isPlatform) && organization.external_id !== null && (
          <>
            <dt>External id</dt>
            <dd>{organization.external_id}</dd>
          </>
        )}
        <dt>Status</dt>
        <dd>
          <OrganizationStatus organization={organization} />
        </dd>
        <dt>Created</dt>
        <dd>
          <RelativeTime at={organization.created_at} />
        </dd>
        <dt>Id</dt>
        <dd>
          <span className="row">
            <code className="small">{organization.id}</code> <CopyButton text={organization.id} label="id" />
          </span>
        </dd>
      </dl>
    </section>
  );
}

function NameForm({ organization, isPlatform }: Omit<Props, "canChange">) {
  const update = useUpdateOrganization(organization.id);
  const toast = useToast();
  const [name, setName] = useState(organization.name ?? "");
  const [externalId, setExternalId] = useState(organization.external_id ?? "");
  const { isBusy, error, run } = useAction();
  const body = {
    ...(name.trim() !== (organization.name ?? "") && { name: name.trim() || null }),
    ...(externalId.trim() !== (organization.external_id ?? "") && { external_id: externalId.trim() || null }),
  };
  const isChanged = Object.keys(body).length > 0;
  useUnsavedChanges(isChanged);
  const save = (event: FormEvent) => {
    event.preventDefault();
    return run(async () => {
      await update(body);
      toast("Saved.");
    });
  };
  return (
    <form className="stack" onSubmit={save}>
      <div className="field-pair">
        <Field label="Name">
          <input value={name} maxLength={100} onChange={(event) => setName(event.target.value)} />
        </Field>
        {isPlatform && (
          <Field label="External id" hint="The identifier of the organization in your own system.">
            <input value={externalId} maxLength={255} onChange={(event) => setExternalId(event.target.value)} />
          </Field>
        )}
      </div>
      {error !== null && <ErrorNotice error={error} />}
      <div className="row">
        <button type="submit" disabled={isBusy || !isChanged}>
          Save
        </button>
      </div>
    </form>
  );
}
