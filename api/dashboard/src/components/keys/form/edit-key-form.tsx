// Editing the settings of a key: the changes are listed before they are saved.

import { useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useMemo, useState } from "react";
import { ApiError, client, hasReason, type Key, type PermissionSet, unwrap } from "../../../api/client.ts";
import { useAction } from "../../../hooks/use-action.ts";
import { useDraft } from "../../../hooks/use-draft.ts";
import { useOrganization } from "../../../hooks/use-organization.ts";
import { useToast } from "../../../hooks/use-toast.ts";
import { useUnsavedChanges } from "../../../hooks/use-unsaved-changes.ts";
import type { KeyFormValues } from "../../../lib/keys/key-fields.ts";
import {
  type Difference,
  differences,
  type FieldErrors,
  formFromKey,
  rebase,
  toUpdate,
  validate,
} from "../../../lib/keys/key-form-model.ts";
import { isPermissionEntryEmpty } from "../../permission-picker.tsx";
import { ErrorNotice } from "../../ui/error-notice.tsx";
import { Notice } from "../../ui/notice.tsx";
import { ErrorSummary, KeyForm } from "./key-form.tsx";
import { KeySummary } from "./key-summary.tsx";
import { RestoredNotice } from "./restored-notice.tsx";

export function EditKeyForm({ org, apiKey, sets }: { org: string; apiKey: Key; sets: PermissionSet[] }) {
  const { held, can, canChangeKey } = useOrganization();
  const queries = useQueryClient();
  const toast = useToast();
  // The version that is edited: a newer version that is loaded in the background must not overwrite the form.
  const draft = useDraft<{ base: Key; form: KeyFormValues }>(`edit ${apiKey.id}`);
  const [base, setBase] = useState(draft.restored?.base ?? apiKey);
  const original = useMemo(() => formFromKey(base), [base]);
  const [form, setForm] = useState<KeyFormValues>(draft.restored?.form ?? original);
  const [errors, setErrors] = useState<FieldErrors>({});
  const [isRebased, setRebased] = useState(false);
  const { isBusy, error, run, clearError } = useAction();
  const setName = (id: string) => sets.find((set) => set.id === id)?.name ?? id;
  const changes = differences(original, form, setName);
  const reset = (key: Key) => {
    setBase(key);
    setForm(formFromKey(key));
    draft.save(null);
  };
  useUnsavedChanges(changes.length > 0, () => draft.save(null));
  if (changes.length === 0 && apiKey.version !== base.version) {
    setBase(apiKey);
    setForm(formFromKey(apiKey));
  }

  const undo = () => {
    reset(apiKey);
    setErrors({});
    setRebased(false);
    clearError();
  };

  const save = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const found = validate(form, original);
    setErrors(found);
    setRebased(false);
    if (Object.keys(found).length > 0 || !isPermissionEntryEmpty(event.currentTarget)) return;
    return run(async () => {
      const path = { org_id: org, key_id: apiKey.id };
      const params = { path, header: { "If-Match": `"${base.version}"` } };
      const body = toUpdate(original, form);
      try {
        const key = await unwrap(client.PATCH("/orgs/{org_id}/api_keys/{key_id}", { params, body }));
        toast("Saved. The changes apply immediately.");
        queries.setQueryData(["key", org, apiKey.id], key);
        reset(key);
      } catch (error) {
        if (hasReason(error, "version_mismatch")) {
          const key = await unwrap(client.GET("/orgs/{org_id}/api_keys/{key_id}", { params: { path } }));
          queries.setQueryData(["key", org, apiKey.id], key);
          setBase(key);
          setForm(rebase(form, original, formFromKey(key)));
          setRebased(true);
          return;
        }
        if (error instanceof ApiError) setErrors(error.fields);
        throw error;
      }
      await queries.invalidateQueries({ queryKey: ["keys", org] });
      await queries.invalidateQueries({ queryKey: ["events", org] });
    });
  };

  if (!canChangeKey(apiKey)) return <p className="muted">Changing keys needs the permission api_keys:write.</p>;
  return (
    <form className="form-layout" onSubmit={save} noValidate>
      <div className="stack">
        <KeyForm
          form={form}
          onChange={(part) => {
            const next = { ...form, ...part };
            setForm(next);
            draft.save({ base, form: next });
            setErrors({});
          }}
          errors={errors}
          held={held}
          sets={sets}
          canSetLimits={can("org:admin")}
          apiKey={base}
        />
      </div>
      <div className="stack form-aside">
        <section className="card" aria-label="Changes">
          <h2>{changes.length === 0 ? "No changes yet" : "Changes"}</h2>
          {changes.length === 0 ? (
            <KeySummary form={form} sets={sets} held={held} isNew={false} />
          ) : (
            <Changes changes={changes} />
          )}
        </section>
        {draft.restored !== null && changes.length > 0 && !isRebased && <RestoredNotice onDiscard={undo} />}
        {isRebased && (
          <div role="alert">
            <Notice tone="warning">
              <strong>This key was changed in the meantime.</strong>
              <span>Nothing was saved. The form now has the other changes, too: check it, and save again.</span>
            </Notice>
          </div>
        )}
        <ErrorSummary errors={errors} />
        {error !== null && <ErrorNotice error={error} />}
        <div className="row">
          <button type="submit" className="primary" disabled={isBusy || changes.length === 0}>
            Save changes
          </button>
          <button type="button" disabled={changes.length === 0} onClick={undo}>
            Undo
          </button>
        </div>
      </div>
    </form>
  );
}

function Changes({ changes }: { changes: Difference[] }) {
  return (
    <ul className="plain-list" aria-live="polite">
      {changes.map(({ label, before, after }) => (
        <li key={label} className="change">
          <span>
            <strong>{label}</strong>
            <br />
            <span className="old-value">{before}</span> → {after}
          </span>
        </li>
      ))}
    </ul>
  );
}
