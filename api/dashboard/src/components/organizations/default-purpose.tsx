// The setting `keys_can_manage_by_default` of an organization.

import { useAction } from "../../hooks/use-action.ts";
import { useToast } from "../../hooks/use-toast.ts";
import { useUpdateOrganization } from "../../hooks/use-update-organization.ts";
import { ErrorNotice } from "../ui/error-notice.tsx";

const OPTIONS = [
  [true, "It can manage Claviger, as far as its permissions allow"],
  [false, "It is for your own API and cannot manage Claviger"],
] as const;

export function DefaultPurpose({ org, canManage, canChange }: { org: string; canManage: boolean; canChange: boolean }) {
  const update = useUpdateOrganization(org);
  const toast = useToast();
  const { isBusy, error, run } = useAction();
  const save = (keys_can_manage_by_default: boolean) =>
    run(async () => {
      await update({ keys_can_manage_by_default });
      toast("Saved. It applies to keys that are created from now on.");
    });
  return (
    <section className="card stack">
      <h2>New keys</h2>
      <fieldset className="stack compact" disabled={!canChange || isBusy}>
        <legend>Purpose of a new key, if its creator does not choose one</legend>
        {OPTIONS.map(([value, label]) => (
          <label key={label} className="checkbox">
            <input type="radio" name="default-purpose" checked={canManage === value} onChange={() => save(value)} />
            {label}
          </label>
        ))}
      </fieldset>
      <p className="hint">
        {canChange
          ? "Existing keys are unchanged. The form for a new key always sets its purpose."
          : "Changing this needs the permission org:admin."}
      </p>
      {error !== null && <ErrorNotice error={error} />}
    </section>
  );
}
