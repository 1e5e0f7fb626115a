// The usage of an organization, and the keys that need attention.

import type { ReactNode } from "react";
import { Link } from "react-router";
import type { Key, KeyQuery } from "../api/client.ts";
import { useKeys, useUsage } from "../api/queries.ts";
import { StatusBadge } from "../components/keys/key-status.tsx";
import { PermissionChips } from "../components/permission-chips.tsx";
import { ErrorNotice } from "../components/ui/error-notice.tsx";
import { Loading } from "../components/ui/loading.tsx";
import { PageHeader } from "../components/ui/page-header.tsx";
import { RelativeTime } from "../components/ui/relative-time.tsx";
import { FirstVerification } from "../components/usage/first-verification.tsx";
import { UsageSection } from "../components/usage/usage-section.tsx";
import { useNow } from "../hooks/use-now.ts";
import { useOrganization } from "../hooks/use-organization.ts";
import { statusOf, statusQuery } from "../lib/keys/key-status.ts";
import { DAY } from "../lib/time.ts";
import { type UsagePeriod, usageRange } from "../lib/usage.ts";

/** Keys in each list. */
const LIST_SIZE = 5;

/** If nothing was verified in this period, the overview explains how to verify. */
const LONG_AGO = { label: "Last 30 days", days: 30, by: "day" } satisfies UsagePeriod;

export function Overview() {
  const { org, can } = useOrganization();
  const now = useNow();
  if (!can("api_keys:read")) {
    return (
      <>
        <PageHeader title="Overview" />
        <p className="muted">The overview needs the permission api_keys:read.</p>
      </>
    );
  }
  // Rounded to the day, so that the queries stay the same and are not sent again.
  const today = Math.floor(now / DAY) * DAY;
  return (
    <>
      <PageHeader title="Overview" description="Usage of your keys, and keys that need attention." />
      <div className="stack spacious">
        <OrganizationUsage org={org} />
        <div className="card-grid">
          <KeyList
            org={org}
            title="Expiring within 30 days"
            description="Replace them, or extend their expiry."
            emptyText="No keys expire soon."
            query={{ ...statusQuery("expiring soon", today), sort: "expires_at" }}
            detail={(key) => <RelativeTime at={key.expires_at} />}
            search="status=expiring+soon&sort=expires_at"
          />
          <KeyList
            org={org}
            title="Never used"
            description="Enabled, but never used."
            emptyText="No unused keys."
            query={{ ...statusQuery("never used", today), sort: "created_at" }}
            filter={(key) => statusOf(key, now) !== "not yet valid"}
            detail={(key) => (
              <>
                created <RelativeTime at={key.created_at} />
              </>
            )}
            search="status=never+used&sort=created_at"
          />
          <KeyList
            org={org}
            title="Overprivileged and unused"
            description="Keys with all permissions, not used for 30 days. Narrow or revoke them."
            emptyText="No unused key has all permissions."
            query={{ ...statusQuery("idle", today), sort: "last_used_at" }}
            detail={(key) => <PermissionChips permissions={key.permissions} max={2} />}
            search="status=idle&sort=last_used_at"
          />
        </div>
      </div>
    </>
  );
}

/** The usage of all keys; while nothing was verified within 30 days, what to do first. */
function OrganizationUsage({ org }: { org: string }) {
  const now = useNow();
  const { data } = useUsage(org, null, LONG_AGO.by, usageRange(now, LONG_AGO).from);
  if (data !== undefined && Object.values(data.total).every((count) => count === 0)) {
    return <FirstVerification org={org} />;
  }
  return <UsageSection org={org} keyId={null} />;
}

interface ListProps {
  org: string;
  title: string;
  description: string;
  emptyText: string;
  query: KeyQuery;
  /** Applied to the result, for conditions that the API has no filter for. */
  filter?: (key: Key) => boolean;
  detail: (key: Key) => ReactNode;
  /** The address parameters of the same list on the page of all keys. */
  search: string;
}

function KeyList({ org, title, description, emptyText, query, filter = () => true, detail, search }: ListProps) {
  const { data, error, refetch } = useKeys(org, { ...query, limit: LIST_SIZE });
  const now = useNow();
  const items = data?.items.filter(filter);
  return (
    <section className="card" aria-label={title}>
      <div className="space-between">
        <div>
          <h2>{title}</h2>
          <p className="hint">{description}</p>
        </div>
        {data?.next != null && (
          <Link to={`/orgs/${org}/keys?${search}`} className="small">
            See all
          </Link>
        )}
      </div>
      {error !== null && <ErrorNotice error={error} retry={refetch} />}
      {data === undefined && error === null && <Loading label={`Loading: ${title}`} />}
      {items?.length === 0 && <p className="muted">{emptyText}</p>}
      <ul className="compact-list">
        {items?.map((key) => (
          <li key={key.id}>
            <Link to={`/orgs/${org}/keys/${key.id}`} className="key-name">
              {key.name || `${key.start}…`}
            </Link>
            <StatusBadge status={statusOf(key, now)} />
            <span>{detail(key)}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}
