// The list of organizations: all of them for platform callers, otherwise those that the caller has access to.

import { useQueryClient } from "@tanstack/react-query";
import { Plus } from "lucide-react";
import { useState } from "react";
import { Link } from "react-router";
import { client, unwrap } from "../api/client.ts";
import { platformOf } from "../api/session.ts";
import { CreateOrganization } from "../components/organizations/create-organization.tsx";
import { OrganizationList } from "../components/organizations/organization-list.tsx";
import { EmptyState } from "../components/ui/empty-state.tsx";
import { ErrorNotice } from "../components/ui/error-notice.tsx";
import { PageHeader } from "../components/ui/page-header.tsx";
import { useAction } from "../hooks/use-action.ts";
import { useMe } from "../hooks/use-me.ts";
import { useOrganizationOf } from "../hooks/use-organization.ts";

export function Organizations() {
  const me = useMe();
  const platform = platformOf(me);
  const isPlatform = platform !== null;
  const { can } = useOrganizationOf(platform?.id ?? "");
  const [isCreating, setCreating] = useState(false);
  return (
    <>
      <PageHeader
        title="Organizations"
        description={
          isPlatform
            ? "As a platform caller you have access to all organizations."
            : "The organizations that you have access to."
        }
      >
        {isPlatform && can("org:admin") && (
          <button type="button" className="primary" onClick={() => setCreating(true)}>
            <Plus size={18} aria-hidden /> Create organization
          </button>
        )}
      </PageHeader>
      {isPlatform ? <OrganizationList /> : <MyOrganizations />}
      {isCreating && <CreateOrganization onClose={() => setCreating(false)} />}
    </>
  );
}

function MyOrganizations() {
  const me = useMe();
  if (me.organizations.length === 0) {
    return (
      <EmptyState title="You are not a member of any organization">
        <p>Ask an administrator to add you as a member.</p>
        {me.identity !== null && (
          <p>
            You are <code>{me.identity.subject}</code> at <code>{me.identity.issuer}</code>.
          </p>
        )}
      </EmptyState>
    );
  }
  return (
    <ul className="plain-list">
      {me.organizations.map((organization) => (
        <li key={organization.id}>
          <Link to={`/orgs/${organization.id}/keys`}>{organization.name ?? organization.id}</Link>
          {!organization.accepted && <AcceptMembership org={organization.id} />}
        </li>
      ))}
    </ul>
  );
}

/** A membership that the caller was given has no effect until the caller accepts it. */
function AcceptMembership({ org }: { org: string }) {
  const queries = useQueryClient();
  const { isBusy, error, run } = useAction();
  const accept = () =>
    run(async () => {
      await unwrap(client.POST("/me/memberships/{org_id}", { params: { path: { org_id: org } } }));
      await queries.invalidateQueries();
    });
  return (
    <>
      {" "}
      <span className="muted small">You were added to it.</span>{" "}
      <button type="button" disabled={isBusy} onClick={accept}>
        Accept
      </button>
      {error !== null && <ErrorNotice error={error} />}
    </>
  );
}
