// Suspending and resuming an organization, for platform callers.

import { useState } from "react";
import type { Schemas } from "../../api/client.ts";
import { useAction } from "../../hooks/use-action.ts";
import { organizationName } from "../../hooks/use-organization.ts";
import { useToast } from "../../hooks/use-toast.ts";
import { useUpdateOrganization } from "../../hooks/use-update-organization.ts";
import { ConfirmDialog } from "../ui/confirm-dialog.tsx";
import { RelativeTime } from "../ui/relative-time.tsx";

export function Suspension({ organization }: { organization: Schemas["Organization"] }) {
  const update = useUpdateOrganization(organization.id);
  const toast = useToast();
  const action = useAction();
  const [isOpen, setOpen] = useState(false);
  const isSuspended = organization.suspended_at !== null;
  const name = organizationName(organization);
  const change = () =>
    action.run(async () => {
      await update({ suspended: !isSuspended });
      toast(isSuspended ? `${name} is resumed: its keys work again.` : `${name} is suspended.`);
      setOpen(false);
    });
  return (
    <section className="card stack" aria-label="Suspension">
      <h2>Suspension</h2>
      {isSuspended ? (
        <p>
          Suspended <RelativeTime at={organization.suspended_at} />: all of its keys are invalid.
        </p>
      ) : (
        <p>All keys of a suspended organization are invalid, until it is resumed.</p>
      )}
      <div className="row">
        <button type="button" className={isSuspended ? "" : "danger"} onClick={() => setOpen(true)}>
          {isSuspended ? "Resume organization" : "Suspend organization"}
        </button>
      </div>
      {isOpen && (
        <ConfirmDialog
          title={isSuspended ? `Resume ${name}?` : `Suspend ${name}?`}
          confirmLabel={isSuspended ? "Resume" : "Suspend"}
          action={action}
          isDestructive={!isSuspended}
          onConfirm={change}
          onClose={() => setOpen(false)}
        >
          <p>
            {isSuspended
              ? "Its keys are valid again at once, within their own settings."
              : "All of its keys stop working at once, and its members cannot use the dashboard with them."}
          </p>
        </ConfirmDialog>
      )}
    </section>
  );
}
