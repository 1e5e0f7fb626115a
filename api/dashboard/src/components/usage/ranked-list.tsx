// The keys, owners or external ids with the most verifications in a period.

import { Link } from "react-router";
import { hasReason, type TopUsageItem } from "../../api/client.ts";
import { type TopUsageQuery, useTopUsage } from "../../api/queries.ts";
import { Owner } from "../names.tsx";
import { ErrorNotice } from "../ui/error-notice.tsx";
import { FormattedNumber } from "../ui/formatted-number.tsx";
import { Loading } from "../ui/loading.tsx";
import { ShareBar } from "./share-bar.tsx";

interface Props {
  org: string;
  query: TopUsageQuery;
  emptyText: string;
}

export function RankedList({ org, query, emptyText }: Props) {
  const { data, error, refetch } = useTopUsage(org, query);
  if (hasReason(error, "invalid_fields") && error.fields.from !== undefined) return <TooMany org={org} />;
  if (error !== null) return <ErrorNotice error={error} retry={refetch} />;
  if (data === undefined) return <Loading label="Loading the most used" />;
  if (data.ranked.length === 0) return <p className="muted">{emptyText}</p>;
  const most = Math.max(...data.ranked.map(({ valid, refused }) => valid + refused));
  return (
    <ol className="compact-list ranked">
      {data.ranked.map((item) => (
        <li key={item.api_key_id ?? item.user_id ?? item.external_id}>
          <Ranked org={org} item={item} by={data.group_by} />
          <span className="counts">
            {item.valid > 0 && (
              <span>
                <FormattedNumber value={item.valid} /> valid
              </span>
            )}
            {item.refused > 0 && (
              <span className="refused">
                <FormattedNumber value={item.refused} /> refused
              </span>
            )}
          </span>
          <ShareBar valid={item.valid} refused={item.refused} total={most} />
        </li>
      ))}
    </ol>
  );
}

function Ranked({ org, item, by }: { org: string; item: TopUsageItem; by: TopUsageQuery["group_by"] }) {
  if (by === "user") return <Owner org={org} user={item.user_id} />;
  if (by === "external_id") {
    return item.external_id === null ? <span className="muted">No external id</span> : <code>{item.external_id}</code>;
  }
  return (
    <Link to={`/orgs/${org}/keys/${item.api_key_id}`} className="key-name">
      {item.name ?? `${item.start}…`}
    </Link>
  );
}

/** More counts than the service adds up for one request. */
function TooMany({ org }: { org: string }) {
  return (
    <p className="muted">
      Too many keys were used in this period to compare them all. Choose a shorter period, or see the{" "}
      <Link to={`/orgs/${org}/keys?sort=-request_count`}>keys with the most uses since their creation</Link>.
    </p>
  );
}
