// How many keys, members and permission sets an organization can have. Platform callers can change it.

import { type FormEvent, useState } from "react";
import type { Schemas } from "../../api/client.ts";
import { useAction } from "../../hooks/use-action.ts";
import { useToast } from "../../hooks/use-toast.ts";
import { useUpdateOrganization } from "../../hooks/use-update-organization.ts";
import { useUnsavedChanges } from "../../hooks/use-unsaved-changes.ts";
import { ErrorNotice } from "../ui/error-notice.tsx";
import { Field } from "../ui/field.tsx";
import { FormattedNumber } from "../ui/formatted-number.tsx";

const CAPS = [
  ["max_api_keys", "Keys"],
  ["max_members", "Members"],
  ["max_permission_sets", "Permission sets"],
] as const;

type Cap = (typeof CAPS)[number][0];

export function CapSettings({
  organization,
  canChange,
}: {
  organization: Schemas["Organization"];
  canChange: boolean;
}) {
  return (
    <section className="card stack" aria-label="Maximum numbers">
      <h2>Maximum numbers</h2>
      {canChange ? (
        <CapForm key={CAPS.map(([name]) => organization[name]).join(" ")} organization={organization} />
      ) : (
        <>
          <dl className="description-list">
            {CAPS.map(([name, label]) => (
              <div key={name} className="contents">
                <dt>{label}</dt>
                <dd>
                  {organization[name] === null ? (
                    <span className="muted">the default of the service</span>
                  ) : (
                    <FormattedNumber value={organization[name]} />
                  )}
                </dd>
              </div>
            ))}
          </dl>
          <p className="hint">Only the operator of the service can change them.</p>
        </>
      )}
    </section>
  );
}

function CapForm({ organization }: { organization: Schemas["Organization"] }) {
  const update = useUpdateOrganization(organization.id);
  const toast = useToast();
  const initial = Object.fromEntries(CAPS.map(([name]) => [name, organization[name]?.toString() ?? ""]));
  const [form, setForm] = useState(initial as Record<Cap, string>);
  const { isBusy, error, run } = useAction();
  const changed = CAPS.filter(([name]) => form[name].trim() !== initial[name]);
  useUnsavedChanges(changed.length > 0);
  const save = (event: FormEvent) => {
    event.preventDefault();
    return run(async () => {
      const numbers = changed.map(([name]) => [name, form[name].trim() === "" ? null : Number(form[name])]);
      await update(Object.fromEntries(numbers) as Schemas["UpdateOrganizationRequest"]);
      toast("Saved. What exists already is kept.");
    });
  };
  return (
    <form className="stack" onSubmit={save}>
      {CAPS.map(([name, label]) => (
        <Field key={name} label={label}>
          <input
            type="number"
            min={0}
            step={1}
            placeholder="the default of the service"
            value={form[name]}
            onChange={(event) => setForm({ ...form, [name]: event.target.value })}
          />
        </Field>
      ))}
      {error !== null && <ErrorNotice error={error} />}
      <div className="row">
        <button type="submit" disabled={isBusy || changed.length === 0}>
          Save maximum numbers
        </button>
      </div>
    </form>
  );
}
