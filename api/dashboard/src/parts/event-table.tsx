// What was done, newest first: of an organization, or of one key.

import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useSearchParams } from "react-router";
import { type AuditEvent, client, paged } from "../api/client.ts";
import { ACTIONS } from "../rules/words.ts";
import { Empty, Failure, Loading, Time } from "./basics.tsx";
import { ActorName, KeyName, SetName, ShortId, UserName } from "./names.tsx";
import { Pager } from "./pager.tsx";

/** What is asked for, by the API's names. */
export interface EventFilters {
  action?: string;
  outcome?: AuditEvent["outcome"];
  /** A user or a key. */
  actor?: string;
  target?: string;
  since?: string;
  until?: string;
}

const PAGE = 50;

/** One page of the log. */
export function events(
  org: string,
  filters: EventFilters,
  limit: number,
  cursor: string | undefined,
  signal?: AbortSignal,
) {
  const params = { path: { org_id: org }, query: { ...filters, limit, cursor } };
  return paged(client.GET("/orgs/{org_id}/audit_events", { params, signal: signal ?? null }));
}

export function EventTable({ org, filters, empty }: { org: string; filters: EventFilters; empty: string }) {
  const [search] = useSearchParams();
  const after = search.get("after") ?? undefined;
  const { data, error, refetch } = useQuery({
    queryKey: ["events", org, filters, after],
    queryFn: ({ signal }) => events(org, filters, PAGE, after, signal),
    placeholderData: keepPreviousData,
  });
  if (error !== null) return <Failure of={error} retry={refetch} />;
  return (
    <>
      <div className="card table">
        {data === undefined && <Loading lines={8} what="Loading the log" />}
        {data?.items.length === 0 && <Empty title={empty} />}
        {data !== undefined && data.items.length > 0 && <Table org={org} of={data.items} />}
      </div>
      {data !== undefined && <Pager next={data.next} />}
    </>
  );
}

const TONES = { done: "", refused: "warn", alarm: "bad" } as const;

function Table({ org, of }: { org: string; of: AuditEvent[] }) {
  return (
    <div className="scroll">
      <table className="cards">
        <thead>
          <tr>
            <th scope="col">What</th>
            <th scope="col">When</th>
            <th scope="col">Who</th>
            <th scope="col">On what</th>
            <th scope="col">From</th>
          </tr>
        </thead>
        <tbody>
          {of.map((event) => (
            <tr key={`${event.seq}-${event.at}-${event.target_id}`}>
              <th scope="row">
                <span className="row">
                  {event.outcome !== "done" && <span className={`badge ${TONES[event.outcome]}`}>{event.outcome}</span>}
                  {ACTIONS[event.action] ?? event.action}
                  {event.count > 1 && <span className="faint small">{event.count} times</span>}
                </span>
                {event.reason !== null && <span className="faint small">{reason(event)}</span>}
              </th>
              <td data-label="When">
                <Time at={event.at} />
              </td>
              <td data-label="Who">
                <ActorName org={org} of={event.actor} />
              </td>
              <td data-label="On what">
                <Target org={org} of={event} />
              </td>
              <td data-label="From">{event.client ?? <span className="faint">–</span>}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

const REASONS: Record<string, string> = {
  forbidden: "lacks the permission",
  exceeds_grants: "wanted to give more than they hold",
  exceeds_expiry: "wanted a key that outlives their own",
  exceeds_addresses: "wanted other addresses than their own",
  platform_only: "only the platform may",
  last_admin: "nobody would be left who may do everything",
  others: "and others like it",
};

function reason({ reason, permission }: AuditEvent): string {
  const words = REASONS[reason ?? ""] ?? reason ?? "";
  return permission === null ? words : `${words} ${permission}`;
}

function Target({ org, of }: { org: string; of: AuditEvent }) {
  if (of.target_id === org) return <span>The organization</span>;
  if (of.action.startsWith("api_key.")) return <KeyName org={org} id={of.target_id} />;
  if (of.action.startsWith("permission_set.")) return <SetName org={org} id={of.target_id} />;
  if (of.action.startsWith("member.")) return <UserName org={org} id={of.target_id} />;
  return <ShortId of={of.target_id} />;
}
