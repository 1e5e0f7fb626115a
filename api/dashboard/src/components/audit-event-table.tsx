// Audit events, newest first: of an organization, or of one key.

import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useSearchParams } from "react-router";
import { type AuditEvent, type AuditOutcome, client, unwrapPage } from "../api/client.ts";
import { settingLabel } from "../lib/keys/key-form-model.ts";
import { ACTION_TEXTS, eventDetail, fieldLabel, OUTCOME_TEXTS } from "../lib/messages.ts";
import { formatShort } from "../lib/time.ts";
import { ActorName, KeyName, PermissionSetName, ShortId, UserName } from "./names.tsx";
import { Badge, type Tone } from "./ui/badge.tsx";
import { EmptyState } from "./ui/empty-state.tsx";
import { ErrorNotice } from "./ui/error-notice.tsx";
import { Loading } from "./ui/loading.tsx";
import { Pager } from "./ui/pager.tsx";
import { RelativeTime } from "./ui/relative-time.tsx";

/** Query parameters of the API. */
export interface EventFilters {
  /** An action, or a prefix such as `api_key.`. */
  action?: string;
  outcome?: AuditOutcome;
  /** Id of a user or a key. */
  actor?: string;
  target?: string;
  since?: string;
  until?: string;
}

const PAGE_SIZE = 50;

/** Reads one page of the audit log. */
export function fetchEvents(
  org: string,
  filters: EventFilters,
  limit: number,
  cursor: string | undefined,
  signal?: AbortSignal,
) {
  const params = { path: { org_id: org }, query: { ...filters, limit, cursor } };
  return unwrapPage(client.GET("/orgs/{org_id}/audit_events", { params, signal: signal ?? null }));
}

interface Props {
  org: string;
  filters: EventFilters;
  /** Shown if there are no events. */
  emptyTitle: string;
}

export function AuditEventTable({ org, filters, emptyTitle }: Props) {
  const [search] = useSearchParams();
  const cursor = search.get("after") ?? undefined;
  const { data, error, refetch } = useQuery({
    queryKey: ["events", org, filters, cursor],
    queryFn: ({ signal }) => fetchEvents(org, filters, PAGE_SIZE, cursor, signal),
    placeholderData: keepPreviousData,
  });
  if (error !== null) return <ErrorNotice error={error} retry={refetch} />;
  return (
    <>
      <div className="card table">
        {data === undefined && <Loading lines={8} label="Loading the log" />}
        {data?.items.length === 0 && <EmptyState title={emptyTitle} />}
        {data !== undefined && data.items.length > 0 && <Table org={org} events={data.items} />}
      </div>
      {data !== undefined && <Pager next={data.next} />}
    </>
  );
}

const TONES: Record<AuditOutcome, Tone | undefined> = { done: undefined, refused: "warning", alarm: "danger" };

function Table({ org, events }: { org: string; events: AuditEvent[] }) {
  return (
    <div className="table-scroll">
      <table className="responsive-table">
        <thead>
          <tr>
            <th scope="col">Action</th>
            <th scope="col">Time</th>
            <th scope="col">Actor</th>
            <th scope="col">Target</th>
            <th scope="col">IP address</th>
          </tr>
        </thead>
        <tbody>
          {events.map((event) => (
            <tr key={`${event.seq}-${event.at}-${event.target_id}`}>
              <th scope="row">
                <span className="row">
                  {event.outcome !== "done" && (
                    <Badge tone={TONES[event.outcome]}>{OUTCOME_TEXTS[event.outcome]}</Badge>
                  )}
                  {ACTION_TEXTS[event.action]}
                  {event.count > 1 && <span className="muted small">{event.count} times</span>}
                </span>
                <Detail event={event} />
              </th>
              <td data-label="Time">
                <span title={event.request_id === null ? undefined : `Request ${event.request_id}`}>
                  <RelativeTime at={event.at} /> <span className="muted small nowrap">{formatShort(event.at)}</span>
                </span>
              </td>
              <td data-label="Actor">
                <ActorName org={org} actor={event.actor} />
              </td>
              <td data-label="Target">
                <TargetName org={org} event={event} />
              </td>
              <td data-label="IP address">{event.client ?? <span className="muted">–</span>}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Detail({ event }: { event: AuditEvent }) {
  const detail = eventDetail(event);
  const changes = event.changed_fields.map((field) => (settingLabel(field) ?? fieldLabel(field)).toLowerCase());
  return (
    <>
      {detail !== null && <span className="muted small">{detail}</span>}
      {changes.length > 0 && <span className="muted small">{[...new Set(changes)].join(", ")}</span>}
    </>
  );
}

function TargetName({ org, event }: { org: string; event: AuditEvent }) {
  const { target_id: id, action } = event;
  if (id === org) return <span>The organization</span>;
  if (action.startsWith("api_key.")) return <KeyName org={org} id={id} />;
  if (action.startsWith("permission_set.")) return <PermissionSetName org={org} id={id} />;
  if (action.startsWith("member.") || action.startsWith("recovery_link.")) return <UserName org={org} id={id} />;
  return <ShortId id={id} />;
}
