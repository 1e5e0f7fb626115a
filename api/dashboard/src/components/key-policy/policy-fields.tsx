// The controls of a policy's rules.

import type { KeyPolicyErrors, KeyPolicyForm } from "../../lib/key-policy.ts";
import { Field } from "../ui/field.tsx";

interface Props {
  form: KeyPolicyForm;
  errors: KeyPolicyErrors;
  onChange: (part: Partial<KeyPolicyForm>) => void;
}

type TextName = Exclude<keyof KeyPolicyForm, "expiry_required" | "cannot_manage" | "rotation_enforce">;
type FlagName = "expiry_required" | "cannot_manage" | "rotation_enforce";

export function PolicyFields({ form, errors, onChange }: Props) {
  const days = (name: TextName, label: string, hint: string) => (
    <Field label={label} hint={hint} error={errors[name]}>
      <input
        inputMode="numeric"
        value={form[name]}
        placeholder="no rule"
        onChange={(event) => onChange({ [name]: event.target.value })}
      />
    </Field>
  );
  const flag = (name: FlagName, label: string) => (
    <label className="checkbox">
      <input type="checkbox" checked={form[name]} onChange={(event) => onChange({ [name]: event.target.checked })} />
      {label}
    </label>
  );
  return (
    <>
      {flag("expiry_required", "Keys must expire")}
      {days("max_lifetime_days", "Longest lifetime in days", "From the creation of a key to its expiry.")}
      {flag("cannot_manage", "Keys cannot manage Claviger")}
      <Field
        label="Prefix of secrets"
        hint="New secrets get this prefix. Requests with another prefix are refused."
        error={errors.prefix}
      >
        <input
          className="monospace"
          value={form.prefix}
          maxLength={32}
          placeholder="no rule"
          spellCheck={false}
          onChange={(event) => onChange({ prefix: event.target.value })}
        />
      </Field>
      <Field
        label="Allowed permissions"
        hint="One permission per line, then a space and a description, such as: files:read Read files. Leave empty to allow all permissions."
        error={errors.allowed_permissions}
      >
        <textarea
          className="monospace"
          rows={4}
          value={form.allowed_permissions}
          spellCheck={false}
          onChange={(event) => onChange({ allowed_permissions: event.target.value })}
        />
      </Field>
      <Field
        label="Permissions that need an IP allowlist"
        hint="Separate permissions by spaces, such as: files:write members:*. A key with only a part of one needs an IP allowlist, too."
        error={errors.addresses_required_for}
      >
        <input
          className="monospace"
          value={form.addresses_required_for}
          placeholder="no rule"
          spellCheck={false}
          onChange={(event) => onChange({ addresses_required_for: event.target.value })}
        />
      </Field>
      {days("rotation_days", "Rotate secrets at least every … days", "Keys with an older secret are marked.")}
      {flag("rotation_enforce", "Disable keys whose secret was not rotated in time")}
      {days(
        "disable_unused_after_days",
        "Disable keys that are not used for … days",
        "Keys that were neither used nor changed for so long.",
      )}
    </>
  );
}
