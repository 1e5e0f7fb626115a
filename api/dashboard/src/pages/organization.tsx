// The settings of an organization.

import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { client, unwrap } from "../api/client.ts";
import { signInOptionsQuery } from "../api/passkeys.ts";
import { CapSettings } from "../components/organizations/cap-settings.tsx";
import { DefaultPurpose } from "../components/organizations/default-purpose.tsx";
import { DeleteOrganization } from "../components/organizations/delete-organization.tsx";
import { GeneralSettings } from "../components/organizations/general-settings.tsx";
import { PortalSettings } from "../components/organizations/portal-settings.tsx";
import { Suspension } from "../components/organizations/suspension.tsx";
import { PolicySection } from "../components/key-policy/policy-section.tsx";
import { ErrorNotice } from "../components/ui/error-notice.tsx";
import { Loading } from "../components/ui/loading.tsx";
import { PageHeader } from "../components/ui/page-header.tsx";
import { useOrganization } from "../hooks/use-organization.ts";

export function Organization() {
  const { org, can, isPlatform } = useOrganization();
  const canRead = can("org:read");
  const canChange = can("org:admin");
  const { data, error, refetch } = useQuery({
    queryKey: ["org", org],
    queryFn: () => unwrap(client.GET("/orgs/{org_id}", { params: { path: { org_id: org } } })),
    enabled: canRead,
  });
  return (
    <>
      <PageHeader title="Organization" description="Settings for the organization and all of its keys." />
      {!canRead && <p className="muted">The organization needs the permission org:read.</p>}
      {error !== null && <ErrorNotice error={error} retry={refetch} />}
      {canRead && data === undefined && error === null && <Loading label="Loading the organization" />}
      {data !== undefined && (
        <div className="card-grid">
          <GeneralSettings organization={data} canChange={canChange} isPlatform={isPlatform} />
          <DefaultPurpose org={org} canManage={data.keys_can_manage_by_default} canChange={canChange} />
          <PolicySection organization={data} canChange={canChange} />
          <CapSettings organization={data} canChange={canChange && isPlatform} />
          <PortalSettings org={org} canChange={canChange} canEndSessions={can("portal_sessions:write")} />
          <MemberLinks org={org} />
          <WaysToSignIn />
          {isPlatform && canChange && data.kind !== "platform" && <Suspension organization={data} />}
          {can("*") && data.kind !== "platform" && <DeleteOrganization organization={data} />}
        </div>
      )}
    </>
  );
}

/** Where members and their permissions are. */
function MemberLinks({ org }: { org: string }) {
  return (
    <section className="card stack" aria-label="Members">
      <h2>Members</h2>
      <p>A person becomes a member by an invitation, or is added by an administrator.</p>
      <ul className="plain-list">
        <li>
          <Link to={`/orgs/${org}/members`}>Members and invitations</Link>
        </li>
        <li>
          <Link to={`/orgs/${org}/sets`}>Permission sets</Link>
        </li>
        <li>
          <Link to={`/orgs/${org}/audit`}>Audit log</Link>
        </li>
      </ul>
    </section>
  );
}

/** How members sign in. The operator configures it for the whole service. */
function WaysToSignIn() {
  const { data, error, refetch } = useQuery(signInOptionsQuery);
  return (
    <section className="card stack" aria-label="Sign-in">
      <h2>Sign-in</h2>
      <p>
        Members sign in to this dashboard in these ways, and with their API keys. The operator of the service configures
        them, and which organizations an identity provider is for.
      </p>
      {error !== null && <ErrorNotice error={error} retry={refetch} />}
      {data !== undefined && (
        <ul className="plain-list">
          {data.passkeys && <li>Passkeys</li>}
          {data.providers.map(({ id, name, issuer }) => (
            <li key={id}>
              {name} <code>{issuer}</code>
            </li>
          ))}
          {!data.passkeys && data.providers.length === 0 && <li>Only API keys and access tokens</li>}
        </ul>
      )}
    </section>
  );
}
