// How an organization stands: what is used, what ends soon, and what could go.

import type { ReactNode } from "react";
import { Link } from "react-router";
import type { Key, KeyQuery, Schemas } from "../api/client.ts";
import { useKeys, useUsage } from "../api/lookups.ts";
import { Chips, Count, Failure, Head, Loading, StatusBadge, Time, useNow } from "../parts/basics.tsx";
import { UsagePanel } from "../parts/usage.tsx";
import { conditions, statusOf } from "../rules/status.ts";
import { beginning, DAY } from "../rules/time.ts";
import { useOrganization } from "../session.tsx";

const MOST = 5;

export function Overview() {
  const { org, can } = useOrganization();
  const now = useNow();
  if (!can("api_keys:read")) {
    return (
      <>
        <Head title="Overview" />
        <p className="faint">What the keys of the organization do is for those who hold api_keys:read.</p>
      </>
    );
  }
  // To the day, so that the lists are asked for once.
  const today = Math.floor(now / DAY) * DAY;
  return (
    <>
      <Head title="Overview" about="What your keys do, and what deserves a look." />
      <div className="stack wide">
        <Tiles org={org} />
        <UsagePanel org={org} apiKey={null} title="Verifications of all keys" />
        <div className="grid">
          <KeyList
            org={org}
            title="Top keys"
            about="Used most, since they were made."
            none="No key was used yet."
            query={{ sort: "-request_count", used: true }}
            only={(key) => key.request_count > 0}
            show={(key) => (
              <>
                <Count of={key.request_count} /> uses
              </>
            )}
            more="sort=-request_count"
          />
          <KeyList
            org={org}
            title="Expiring within 30 days"
            about="What depends on them needs a new key, or a later end."
            none="No key ends soon."
            query={{ ...conditions("expiring soon", today), sort: "expires_at" }}
            show={(key) => <Time at={key.expires_at} />}
            more="status=expiring+soon&sort=expires_at"
          />
          <KeyList
            org={org}
            title="Never used"
            about="Enabled, but never used: is anybody going to?"
            none="No unused keys."
            query={{ ...conditions("never used", today), sort: "created_at" }}
            only={(key) => statusOf(key, now) !== "not yet valid"}
            show={(key) => (
              <>
                made <Time at={key.created_at} />
              </>
            )}
            more="status=never+used&sort=created_at"
          />
          <KeyList
            org={org}
            title="More than they use"
            about="They may do everything, and were not used for 30 days. Narrow or revoke them."
            none="No key that may do everything lies idle."
            query={{ ...conditions("idle", today), sort: "last_used_at" }}
            show={(key) => <Chips of={key.permissions} most={2} />}
            more="status=idle&sort=last_used_at"
          />
        </div>
      </div>
    </>
  );
}

function Tiles({ org }: { org: string }) {
  const now = useNow();
  const { data, error } = useUsage(org, null, "hour", beginning(now, "hour", DAY));
  const sum = (of: (point: Schemas["UsagePoint"]) => number) => data?.series.reduce((sum, point) => sum + of(point), 0);
  const [valid, refused] = [sum((point) => point.valid), sum((point) => point.refused)];
  if (error !== null) return null;
  if (valid === undefined || refused === undefined) return <Loading lines={2} what="Loading figures" />;
  const share = valid + refused === 0 ? null : (100 * refused) / (valid + refused);
  return (
    <section className="tiles" aria-label="The last day">
      <p className="card tile">
        <span className="faint">Valid, last 24 hours</span>
        <strong>
          <Count of={valid} />
        </strong>
      </p>
      <p className="card tile">
        <span className="faint">Refused, last 24 hours</span>
        <strong>
          <Count of={refused} />
        </strong>
      </p>
      <p className="card tile">
        <span className="faint">Share refused</span>
        <strong>{share === null ? "–" : `${share.toFixed(share < 10 ? 1 : 0)} %`}</strong>
      </p>
    </section>
  );
}

interface ListProps {
  org: string;
  title: string;
  about: string;
  none: string;
  query: KeyQuery;
  /** Which of them, where the API cannot be asked. */
  only?: (key: Key) => boolean;
  show: (key: Key) => ReactNode;
  /** The same list, as the page of all keys asks for it. */
  more: string;
}

function KeyList({ org, title, about, none, query, only = () => true, show, more }: ListProps) {
  const { data, error, refetch } = useKeys(org, { ...query, limit: MOST });
  const now = useNow();
  const items = data?.items.filter(only);
  return (
    <section className="card" aria-label={title}>
      <div className="spread">
        <div>
          <h2>{title}</h2>
          <p className="hint">{about}</p>
        </div>
        {data?.next != null && (
          <Link to={`/orgs/${org}/keys?${more}`} className="small">
            See all
          </Link>
        )}
      </div>
      {error !== null && <Failure of={error} retry={refetch} />}
      {data === undefined && error === null && <Loading what={`Loading: ${title}`} />}
      {items?.length === 0 && <p className="faint">{none}</p>}
      <ul className="lines">
        {items?.map((key) => (
          <li key={key.id}>
            <Link to={`/orgs/${org}/keys/${key.id}`} className="keyname">
              {key.name || `${key.start}…`}
            </Link>
            <StatusBadge status={statusOf(key, now)} />
            <span>{show(key)}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}
