// Creating a key: a form with a summary, then the secret, which is shown once.

import { useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { Link, useNavigate } from "react-router";
import { ApiError, client, type Schemas, unwrap } from "../api/client.ts";
import { useSets } from "../api/queries.ts";
import { ErrorSummary, KeyForm } from "../components/keys/key-form.tsx";
import { KeySummary } from "../components/keys/key-summary.tsx";
import { LostSecret, NewSecret } from "../components/keys/new-secret.tsx";
import { isPermissionEntryEmpty } from "../components/permission-picker.tsx";
import { Dialog } from "../components/ui/dialog.tsx";
import { ErrorNotice } from "../components/ui/error-notice.tsx";
import { Notice } from "../components/ui/notice.tsx";
import { PageHeader } from "../components/ui/page-header.tsx";
import { useAction } from "../hooks/use-action.ts";
import { useIdempotencyKey } from "../hooks/use-idempotency-key.ts";
import { useOrganization } from "../hooks/use-organization.ts";
import type { KeyFormValues } from "../lib/key-fields.ts";
import { effectivePermissions, EMPTY_FORM, type FieldErrors, toCreate, validate } from "../lib/key-form-model.ts";

/** `isOwn`: the key belongs to the caller's user. So do all keys of callers who can change only their own. */
export function CreateKey({ isOwn = false }: { isOwn?: boolean }) {
  const { org, held, can, canCreateOwnKeys } = useOrganization();
  const ofUser = isOwn || !can("api_keys:write");
  const queries = useQueryClient();
  const navigate = useNavigate();
  const sets = useSets(org, can("permission_sets:read"));
  const [form, setForm] = useState<KeyFormValues>(EMPTY_FORM);
  const [errors, setErrors] = useState<FieldErrors>({});
  const { isBusy, error, run } = useAction();
  const [created, setCreated] = useState<Schemas["CreatedApiKey"] | null>(null);
  const header = useIdempotencyKey(form);

  const change = (part: Partial<KeyFormValues>) => {
    setForm((form) => ({ ...form, ...part }));
    setErrors({});
  };

  const create = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const found = validate(form);
    setErrors(found);
    if (Object.keys(found).length > 0 || !isPermissionEntryEmpty(event.currentTarget)) return;
    return run(async () => {
      try {
        const params = { path: { org_id: org }, header };
        const body = { ...toCreate(form), ...(ofUser && { own: true }) };
        setCreated(await unwrap(client.POST("/orgs/{org_id}/api_keys", { params, body })));
      } catch (error) {
        if (error instanceof ApiError) setErrors(error.fields);
        throw error;
      }
      window.scrollTo(0, 0);
      await queries.invalidateQueries({ queryKey: ["keys", org] });
    });
  };

  if (created !== null) {
    const finish = () => navigate(`/orgs/${org}/keys/${created.id}`);
    return (
      <>
        <PageHeader title="Create a key" />
        <Dialog title={`${created.name} is ready`} onClose={null}>
          {created.key === null ? (
            <LostSecret onDone={finish} />
          ) : (
            <NewSecret secret={created.key} permission={effectivePermissions(form, sets)[0]} onDone={finish} />
          )}
        </Dialog>
      </>
    );
  }
  if (ofUser ? !canCreateOwnKeys : !can("api_keys:write")) {
    return (
      <>
        <PageHeader title="Create a key" />
        <Notice tone="warning">
          <span>You cannot create keys here: that needs the permission api_keys:write. Ask an administrator.</span>
        </Notice>
      </>
    );
  }
  return (
    <>
      <PageHeader
        title="Create a key"
        description={
          ofUser
            ? "The key belongs to you: it never has more permissions than you, and stops working when you leave."
            : "The key belongs to the organization, not to you."
        }
      />
      <form className="form-layout" onSubmit={create} noValidate>
        <div className="stack">
          <KeyForm
            form={form}
            onChange={change}
            errors={errors}
            held={held}
            sets={sets}
            canSetLimits={can("org:admin")}
            apiKey={null}
          />
        </div>
        <div className="stack form-aside">
          <section className="card" aria-label="Summary">
            <h2>Summary</h2>
            <KeySummary form={form} sets={sets} held={held} isNew />
          </section>
          {error !== null && <ErrorNotice error={error} />}
          <ErrorSummary errors={errors} />
          <div className="row">
            <button type="submit" className="primary" disabled={isBusy}>
              {isBusy ? "Creating…" : "Create key"}
            </button>
            <Link to={`/orgs/${org}/${ofUser ? "my-keys" : "keys"}`} className="button">
              Cancel
            </Link>
          </div>
        </div>
      </form>
    </>
  );
}
