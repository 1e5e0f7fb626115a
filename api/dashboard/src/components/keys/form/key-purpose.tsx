// The purpose of a key: your own API, or managing Claviger (`can_manage`).

import { useId } from "react";
import type { PermissionSet } from "../../../api/client.ts";
import type { KeyFormValues } from "../../../lib/keys/key-fields.ts";
import { effectivePermissions } from "../../../lib/keys/key-form-model.ts";
import { serviceAccess } from "../../../lib/permissions.ts";
import { Notice } from "../../ui/notice.tsx";

const PURPOSES = [
  {
    canManage: false,
    label: "For your own API (cannot manage Claviger)",
    hint: "Your services verify it. It gives no access to Claviger, whatever its permissions.",
  },
  {
    canManage: true,
    label: "For managing Claviger",
    hint: "Also for a service that verifies keys: it needs api_keys:verify.",
  },
];

interface Props {
  form: KeyFormValues;
  sets: PermissionSet[];
  onChange: (part: Partial<KeyFormValues>) => void;
}

export function KeyPurpose({ form, sets, onChange }: Props) {
  const id = useId();
  return (
    <fieldset className="stack compact">
      <legend>What is this key for?</legend>
      {PURPOSES.map(({ canManage, label, hint }) => (
        <div key={label}>
          <label className="checkbox">
            <input
              type="radio"
              name={id}
              checked={form.can_manage === canManage}
              aria-describedby={`${id}-${String(canManage)}`}
              onChange={() => onChange({ can_manage: canManage })}
            />
            {label}
          </label>
          <p id={`${id}-${String(canManage)}`} className="hint">
            {hint}
          </p>
        </div>
      ))}
      {form.can_manage && <ServiceAccess permissions={effectivePermissions(form, sets)} />}
    </fieldset>
  );
}

/** What the permissions allow in Claviger, by resource. */
function ServiceAccess({ permissions }: { permissions: string[] }) {
  const resources = serviceAccess(permissions);
  return (
    <div aria-live="polite">
      <Notice tone="danger">
        {resources.length === 0 ? (
          <span>This key can manage Claviger as far as its permissions allow. So far they allow nothing here.</span>
        ) : (
          <>
            <strong>With this key, a caller of Claviger can:</strong>
            <ul>
              {resources.map(({ resource, can }) => (
                <li key={resource}>
                  <code>{resource}</code>: {can.join("; ")}
                </li>
              ))}
            </ul>
          </>
        )}
      </Notice>
    </div>
  );
}
