// The form for the settings of a new or an existing key.

import { useEffect, useState } from "react";
import type { Key, PermissionSet } from "../../../api/client.ts";
import { FIELD_LIST, type KeyFormValues, type Section } from "../../../lib/keys/key-fields.ts";
import { errorOf, type FieldErrors, settingLabel } from "../../../lib/keys/key-form-model.ts";
import { fieldLabel } from "../../../lib/messages.ts";
import { PermissionPicker } from "../../permission-picker.tsx";
import { useKeyPolicies } from "../../../hooks/use-key-policies.ts";
import { catalogue } from "../../../lib/key-policy.ts";
import { PolicyRules } from "../../key-policy/policy-rules.tsx";
import { KeyFieldControl } from "./key-field-control.tsx";
import { KeyPurpose } from "./key-purpose.tsx";

interface Props {
  form: KeyFormValues;
  onChange: (part: Partial<KeyFormValues>) => void;
  errors: FieldErrors;
  /** The caller's permissions; null: unknown. */
  held: string[] | null;
  sets: PermissionSet[];
  /** Whether the caller can set limits. */
  canSetLimits: boolean;
  /** The key that is edited; null: a new key. */
  apiKey: Key | null;
}

export function KeyForm({ form, onChange, errors, held, sets, canSetLimits, apiKey }: Props) {
  const isNew = apiKey === null;
  const policies = useKeyPolicies(sets, form.permission_sets);
  const [isOpen, setOpen] = useState(!isNew);
  const fieldsOf = (section: Section) =>
    FIELD_LIST.filter(([, field]) => field.section === section && (isNew || !field.isCreateOnly));
  const controlsOf = (section: Section) =>
    fieldsOf(section).map(([name]) => (
      <KeyFieldControl key={name} {...{ name, form, onChange, errors, apiKey, policies }} />
    ));
  const advanced = fieldsOf("advanced");
  return (
    <>
      {policies.length > 0 && (
        <section className="card stack" aria-label="Key policy">
          <h2>Key policy</h2>
          <PolicyRules policies={policies} label="Rules" />
        </section>
      )}
      <section className="card">
        <KeyPurpose form={form} sets={sets} onChange={onChange} />
      </section>
      <section className="card stack">{controlsOf("name")}</section>
      <section className="card">
        <h2>Permissions</h2>
        <PermissionPicker
          held={held}
          catalogue={catalogue(policies)}
          sets={sets}
          permissions={form.permissions}
          chosenSets={form.permission_sets}
          onChange={(permissions, permission_sets) => onChange({ permissions, permission_sets })}
        />
        {errors.permissions !== undefined && <p className="field-error">{errors.permissions}</p>}
      </section>
      <section className="card stack">
        <h2>Expiry</h2>
        {controlsOf("expiry")}
      </section>
      <section className="card stack">
        <h2>Limits</h2>
        {!canSetLimits && <p className="hint">Limits need the permission org:admin.</p>}
        <fieldset disabled={!canSetLimits} className="stack">
          <legend className="visually-hidden">Limits</legend>
          {controlsOf("limits")}
        </fieldset>
      </section>
      <details
        className="card"
        open={isOpen || advanced.some(([name]) => errorOf(name, errors) !== undefined)}
        onToggle={(event) => setOpen(event.currentTarget.open)}
      >
        <summary>
          <strong>Advanced</strong> <span className="muted">{advanced.map(([, field]) => field.label).join(", ")}</span>
        </summary>
        <div className="stack details-body">{controlsOf("advanced")}</div>
      </details>
    </>
  );
}

/** All errors of the form, beside its submit button. Moves the focus to the first invalid control. */
export function ErrorSummary({ errors }: { errors: FieldErrors }) {
  const all = Object.entries(errors);
  useEffect(() => {
    if (all.length > 0) document.querySelector<HTMLElement>("form [aria-invalid=true]")?.focus();
  }, [all.length]);
  if (all.length === 0) return null;
  return (
    <div role="alert">
      <ul className="field-error">
        {all.map(([name, sentence]) => (
          <li key={name}>
            {settingLabel(name) ?? fieldLabel(name)}: {sentence}
          </li>
        ))}
      </ul>
    </div>
  );
}
