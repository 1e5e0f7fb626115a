// Deleting an organization: its name must be typed to confirm.

import { useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { useNavigate } from "react-router";
import { client, type Schemas, unwrap } from "../../api/client.ts";
import { meQuery, platformOf } from "../../api/session.ts";
import { useAction } from "../../hooks/use-action.ts";
import { useMe } from "../../hooks/use-me.ts";
import { organizationName } from "../../hooks/use-organization.ts";
import { useToast } from "../../hooks/use-toast.ts";
import { formatDay } from "../../lib/time.ts";
import { Dialog } from "../ui/dialog.tsx";
import { ErrorNotice } from "../ui/error-notice.tsx";
import { Field } from "../ui/field.tsx";
import { Notice } from "../ui/notice.tsx";

export function DeleteOrganization({ organization }: { organization: Schemas["Organization"] }) {
  const [isOpen, setOpen] = useState(false);
  return (
    <section className="card stack" aria-label="Deletion">
      <h2>Delete the organization</h2>
      <p>
        Its keys, members and permission sets are deleted, and its keys stop working at once. The operator of the
        service can restore it for a limited time.
      </p>
      <div className="row">
        <button type="button" className="danger" onClick={() => setOpen(true)}>
          Delete organization
        </button>
      </div>
      {isOpen && <DeleteDialog organization={organization} onClose={() => setOpen(false)} />}
    </section>
  );
}

function DeleteDialog({ organization, onClose }: { organization: Schemas["Organization"]; onClose: () => void }) {
  const isPlatform = platformOf(useMe()) !== null;
  const queries = useQueryClient();
  const navigate = useNavigate();
  const toast = useToast();
  const [text, setText] = useState("");
  const [deleted, setDeleted] = useState<Schemas["OrganizationDeletion"] | null>(null);
  const { isBusy, error, run } = useAction();
  const name = organizationName(organization);
  // An organization without a name is confirmed by its id.
  const expected = organization.name ?? organization.id;
  const remove = (event: FormEvent) => {
    event.preventDefault();
    return run(async () => {
      const params = { path: { org_id: organization.id }, query: { confirm: organization.id } };
      const deletion = await unwrap(client.DELETE("/orgs/{org_id}", { params }));
      if (!isPlatform) return setDeleted(deletion);
      toast(`${name} is deleted.`);
      await queries.invalidateQueries({ queryKey: ["orgs"] });
      navigate("/organizations");
    });
  };
  // The session has ended, unless it is that of a person who is in other organizations, too.
  const leave = async () => {
    await queries.invalidateQueries({ queryKey: meQuery.queryKey });
    navigate("/");
  };
  if (deleted !== null) {
    return (
      <Dialog key="deleted" title={`${name} is deleted`} onClose={null}>
        <p>
          {deleted.restorable_until === null
            ? "Its data is permanently removed."
            : `The operator of the service can restore it until ${formatDay(deleted.restorable_until)}. After that, its data is permanently removed.`}
        </p>
        <p className="muted">
          Id of the organization: <code>{organization.id}</code>
        </p>
        <div className="row end">
          <button type="button" className="primary" onClick={leave}>
            Continue
          </button>
        </div>
      </Dialog>
    );
  }
  return (
    <Dialog title={`Delete ${name}?`} onClose={onClose}>
      <form className="stack" onSubmit={remove}>
        <Notice tone="danger">
          <strong>All keys of {name} stop working at once.</strong>
          <span>Programs that use them are refused, and its members lose their access.</span>
        </Notice>
        <Field label={`Type “${expected}” to confirm`}>
          <input value={text} autoComplete="off" onChange={(event) => setText(event.target.value)} />
        </Field>
        {error !== null && <ErrorNotice error={error} />}
        <div className="row end">
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" className="danger primary" disabled={isBusy || text.trim() !== expected}>
            Delete organization
          </button>
        </div>
      </form>
    </Dialog>
  );
}
