// Editing a policy: the form, a dry run, and then saving it.

import { type FormEvent, useState } from "react";
import { client, type KeyPolicy, type Schemas, unwrap } from "../../api/client.ts";
import { useAction } from "../../hooks/use-action.ts";
import { useIsChanged } from "../../hooks/use-is-changed.ts";
import { useUnsavedChanges } from "../../hooks/use-unsaved-changes.ts";
import {
  formFromPolicy,
  type KeyPolicyErrors,
  type KeyPolicyForm,
  type KeyPolicyInput,
  toPolicy,
  validatePolicy,
} from "../../lib/key-policy.ts";
import { ErrorNotice } from "../ui/error-notice.tsx";
import { LISTED_KEYS, PolicyCheck } from "./policy-check.tsx";
import { PolicyFields } from "./policy-fields.tsx";

interface Props {
  org: string;
  /** The permission set whose policy it is; null: the organization's. */
  set: string | null;
  policy: KeyPolicy | null;
  /** Whether the caller can list keys, so that a dry run is possible. */
  canCheck: boolean;
  onSave: (policy: KeyPolicyInput | null) => Promise<void>;
  onCancel: () => void;
}

interface Checked {
  form: KeyPolicyForm;
  report: Schemas["KeyPolicyReport"] | null;
}

export function PolicyEditor({ org, set, policy, canCheck, onSave, onCancel }: Props) {
  const [form, setForm] = useState(() => formFromPolicy(policy));
  const [errors, setErrors] = useState<KeyPolicyErrors>({});
  // What was checked. Any change of the form needs another check.
  const [checked, setChecked] = useState<Checked | null>(null);
  const { isBusy, error, run, clearError } = useAction();
  useUnsavedChanges(useIsChanged(form));
  const current = toPolicy(form);
  const isChecked = checked?.form === form;
  const canSave = isChecked || !canCheck;
  const change = (part: Partial<KeyPolicyForm>) => {
    setForm({ ...form, ...part });
    setErrors({});
    clearError();
  };
  const check = () =>
    run(async () => {
      if (current === null) {
        setChecked({ form, report: null });
        return;
      }
      const body = { key_policy: current, limit: LISTED_KEYS, ...(set !== null && { permission_set_id: set }) };
      const params = { path: { org_id: org } };
      const report = await unwrap(client.POST("/orgs/{org_id}/key_policy/check", { params, body }));
      setChecked({ form, report });
    });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const found = validatePolicy(form);
    setErrors(found);
    if (Object.keys(found).length > 0) return;
    return canSave ? run(() => onSave(current)) : check();
  };
  return (
    <form className="stack" onSubmit={submit} noValidate aria-label="Key policy">
      <PolicyFields form={form} errors={errors} onChange={change} />
      {isChecked && checked.report !== null && <PolicyCheck org={org} policy={current} report={checked.report} />}
      {canSave && current === null && <p>No rule is set: keys can be created and changed without restrictions.</p>}
      {error !== null && <ErrorNotice error={error} />}
      <div className="row end">
        <button type="button" onClick={onCancel}>
          Cancel
        </button>
        <button type="submit" className="primary" disabled={isBusy}>
          {canSave ? "Save policy" : "Check keys"}
        </button>
      </div>
    </form>
  );
}
