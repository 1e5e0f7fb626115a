// The state of the service, for its operator: totals, the largest organizations, version and health.

import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { client, type Schemas, unwrap } from "../api/client.ts";
import { platformOf } from "../api/session.ts";
import { Badge } from "../components/ui/badge.tsx";
import { EmptyState } from "../components/ui/empty-state.tsx";
import { ErrorNotice } from "../components/ui/error-notice.tsx";
import { FormattedNumber } from "../components/ui/formatted-number.tsx";
import { Loading } from "../components/ui/loading.tsx";
import { PageHeader } from "../components/ui/page-header.tsx";
import { useMe } from "../hooks/use-me.ts";
import { organizationName } from "../hooks/use-organization.ts";
import { BASE_PATH } from "../lib/service-url.ts";
import { MINUTE } from "../lib/time.ts";

export function Service() {
  const isPlatform = platformOf(useMe()) !== null;
  const { data, error, refetch } = useQuery({
    queryKey: ["service"],
    queryFn: ({ signal }) => unwrap(client.GET("/service", { signal })),
    enabled: isPlatform,
    refetchInterval: MINUTE,
  });
  if (!isPlatform) return <EmptyState title="Only the operator of the service can see this page" />;
  return (
    <>
      <PageHeader title="Service" description="All organizations together.">
        <Link to="/organizations" className="button">
          All organizations
        </Link>
      </PageHeader>
      {error !== null && <ErrorNotice error={error} retry={refetch} />}
      {data === undefined && error === null && <Loading lines={4} label="Loading the state of the service" />}
      {data !== undefined && (
        <div className="stack spacious">
          <section className="stats" aria-label="Totals">
            <Total label="Organizations" value={data.organizations} />
            <Total label="Suspended organizations" value={data.suspended_organizations} />
            <Total label="Keys" value={data.api_keys} />
            <Total label="Members" value={data.members} />
          </section>
          <div className="card-grid">
            <Largest organizations={data.largest_organizations} />
            <About version={data.version} />
          </div>
        </div>
      )}
    </>
  );
}

function Total({ label, value }: { label: string; value: number }) {
  return (
    <p className="card stat">
      <span className="muted">{label}</span>
      <strong>
        <FormattedNumber value={value} />
      </strong>
    </p>
  );
}

function Largest({ organizations }: { organizations: Schemas["OrganizationSize"][] }) {
  return (
    <section className="card" aria-label="Most keys">
      <h2>Most keys</h2>
      <p className="hint">The organizations with the most keys.</p>
      <ul className="compact-list">
        {organizations.map(({ org_id, name, kind, external_id, api_keys }) => (
          <li key={org_id}>
            <Link to={`/orgs/${org_id}/organization`} className="key-name">
              {organizationName({ name, kind })}
            </Link>
            <span className="muted small">{external_id}</span>
            <span>
              <FormattedNumber value={api_keys} /> {api_keys === 1 ? "key" : "keys"}
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}

function About({ version }: { version: string }) {
  const { data: isReady } = useQuery({
    queryKey: ["health"],
    queryFn: async ({ signal }) => {
      const response = await fetch(`${BASE_PATH}/health/ready`, { signal });
      return response.ok;
    },
    refetchInterval: MINUTE / 2,
    retry: false,
  });
  return (
    <section className="card" aria-label="About this service">
      <h2>About this service</h2>
      <dl className="description-list">
        <dt>Version</dt>
        <dd>{version}</dd>
        <dt>Health</dt>
        <dd>
          {isReady === undefined && <span className="muted">unknown</span>}
          {isReady === true && <Badge tone="success">Ready</Badge>}
          {isReady === false && <Badge tone="danger">Not ready</Badge>}
        </dd>
        <dt>Documentation</dt>
        <dd>
          <a href={`${BASE_PATH}/docs`}>API reference</a>
        </dd>
      </dl>
    </section>
  );
}
