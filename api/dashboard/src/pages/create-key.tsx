// Creating a key: a form with a summary, then the secret, which is shown once.

import { useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { Link, useNavigate, useSearchParams } from "react-router";
import { ApiError, client, type Schemas, unwrap } from "../api/client.ts";
import { useSets } from "../api/queries.ts";
import { ErrorSummary, KeyForm } from "../components/keys/form/key-form.tsx";
import { KeySummary } from "../components/keys/form/key-summary.tsx";
import { KeyTemplates } from "../components/keys/form/key-templates.tsx";
import { RestoredNotice } from "../components/keys/form/restored-notice.tsx";
import { LostSecret, NewSecret } from "../components/keys/secret/new-secret.tsx";
import { isPermissionEntryEmpty } from "../components/permission-picker.tsx";
import { Dialog } from "../components/ui/dialog.tsx";
import { ErrorNotice } from "../components/ui/error-notice.tsx";
import { Notice } from "../components/ui/notice.tsx";
import { PageHeader } from "../components/ui/page-header.tsx";
import { useAction } from "../hooks/use-action.ts";
import { useDraft } from "../hooks/use-draft.ts";
import { useIdempotencyKey } from "../hooks/use-idempotency-key.ts";
import { useMe } from "../hooks/use-me.ts";
import { useOrganization } from "../hooks/use-organization.ts";
import { useUnsavedChanges } from "../hooks/use-unsaved-changes.ts";
import type { KeyFormValues } from "../lib/keys/key-fields.ts";
import { effectivePermissions, EMPTY_FORM, type FieldErrors, toCreate, validate } from "../lib/keys/key-form-model.ts";
import { DEFAULT_LIFETIME, expiryAfter, KEY_TEMPLATES, type KeyTemplate } from "../lib/keys/key-templates.ts";

/** The form for a new key at first: that of a template, or empty, with an expiry. */
function newForm(templateId: string | null, now: number, creatorExpiresAt: string | null): KeyFormValues {
  const template = KEY_TEMPLATES.find(({ id }) => id === templateId);
  const expires_at = expiryAfter(template?.lifetime ?? DEFAULT_LIFETIME, now, creatorExpiresAt);
  return { ...EMPTY_FORM, ...template?.form, expires_at };
}

/** `isOwn`: the key belongs to the caller's user. So do all keys of callers who can change only their own. */
export function CreateKey({ isOwn = false }: { isOwn?: boolean }) {
  const { org, held, can, canCreateOwnKeys } = useOrganization();
  const ofUser = isOwn || !can("api_keys:write");
  const queries = useQueryClient();
  const navigate = useNavigate();
  const sets = useSets(org, can("permission_sets:read"));
  const me = useMe();
  const [search] = useSearchParams();
  const draft = useDraft<KeyFormValues>(`create ${org} ${ofUser ? "own" : ""}`);
  const [initial] = useState(() => newForm(search.get("template"), Date.now(), me.api_key?.expires_at ?? null));
  const [form, setForm] = useState<KeyFormValues>(draft.restored ?? initial);
  const [errors, setErrors] = useState<FieldErrors>({});
  const { isBusy, error, run } = useAction();
  const [created, setCreated] = useState<Schemas["CreatedApiKey"] | null>(null);
  const header = useIdempotencyKey(form);

  const isDirty = created === null && JSON.stringify(form) !== JSON.stringify(initial);
  useUnsavedChanges(isDirty, () => draft.save(null));

  const change = (part: Partial<KeyFormValues>) => {
    const next = { ...form, ...part };
    setForm(next);
    draft.save(next);
    setErrors({});
  };
  const discard = () => {
    setForm(initial);
    setErrors({});
    draft.save(null);
  };
  const applyTemplate = (template: KeyTemplate) => {
    const isNamedByTemplate = KEY_TEMPLATES.some(({ form: { name } }) => name === form.name);
    const name = form.name.trim() === "" || isNamedByTemplate ? template.form.name : form.name;
    const expires_at = expiryAfter(template.lifetime, Date.now(), me.api_key?.expires_at ?? null);
    change({ ...template.form, name, expires_at });
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
        draft.save(null);
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
          {!ofUser && <KeyTemplates form={form} held={held} onChoose={applyTemplate} />}
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
          {draft.restored !== null && isDirty && <RestoredNotice onDiscard={discard} />}
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
