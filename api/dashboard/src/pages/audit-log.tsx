// The audit log: filtered, and exported as CSV or JSON.

import type { AuditOutcome } from "../api/client.ts";
import { readNames } from "../api/names.ts";
import { useMembers, useSets } from "../api/queries.ts";
import { AuditEventTable, type EventFilters, fetchEvents } from "../components/audit-event-table.tsx";
import { ExportButtons, useExport } from "../components/export-button.tsx";
import { PageHeader } from "../components/ui/page-header.tsx";
import { SelectField } from "../components/ui/select-field.tsx";
import { useFilters } from "../hooks/use-filters.ts";
import { useOrganization } from "../hooks/use-organization.ts";
import { eventColumns, keyIdsOf } from "../lib/audit/event-csv.ts";
import { download, toCsv } from "../lib/csv.ts";
import { ACTION_TEXTS, OUTCOME_TEXTS } from "../lib/messages.ts";
import { fromDateTimeInput } from "../lib/time.ts";

/** Events in one request of an export. */
const EXPORT_PAGE_SIZE = 1_000;

const OUTCOMES: [string, string][] = [["", "All"], ...Object.entries(OUTCOME_TEXTS)];

const ACTIONS: [string, string][] = [
  ["", "All actions"],
  ["api_key.", "All actions on keys"],
  ["member.", "All actions on members"],
  ["invitation.", "All actions on invitations"],
  ["recovery_link.", "All actions on recovery links"],
  ["permission_set.", "All actions on permission sets"],
  ["trust_rule.", "All actions on trust rules"],
  ["organization.", "All actions on the organization"],
  ...Object.entries(ACTION_TEXTS),
];

export function AuditLog() {
  const { org, can } = useOrganization();
  const members = useMembers(org, undefined, can("members:read")).data?.items ?? [];
  const { value, setFilter } = useFilters();
  // Days are in the browser's time zone, like the times in the list. The last day is included.
  const since = fromDateTimeInput(value("since") && `${value("since")}T00:00`);
  const until = fromDateTimeInput(value("until") && `${value("until")}T23:59:59.999`);
  const filters: EventFilters = {
    ...(value("action") !== "" && { action: value("action") }),
    ...(value("actor") !== "" && { actor: value("actor") }),
    ...(value("outcome") !== "" && { outcome: value("outcome") as AuditOutcome }),
    ...(since !== null && { since }),
    ...(until !== null && { until }),
  };
  return (
    <>
      <PageHeader title="Audit log" description="All changes, refused attempts and alarms. Tampering can be detected.">
        <Export org={org} filters={filters} />
      </PageHeader>
      <search className="filters">
        <SelectField
          label="Action"
          value={value("action")}
          options={ACTIONS}
          onChange={(text) => setFilter("action", text)}
        />
        <SelectField
          label="Actor"
          value={value("actor")}
          options={[["", "Anyone"], ...members.map((member) => [member.user_id, member.user_name] as const)]}
          onChange={(text) => setFilter("actor", text)}
        />
        <SelectField
          label="Outcome"
          value={value("outcome")}
          options={OUTCOMES}
          onChange={(text) => setFilter("outcome", text)}
        />
        <label className="field">
          From
          <input type="date" value={value("since")} onChange={(event) => setFilter("since", event.target.value)} />
        </label>
        <label className="field">
          Until
          <input type="date" value={value("until")} onChange={(event) => setFilter("until", event.target.value)} />
        </label>
      </search>
      <AuditEventTable org={org} filters={filters} emptyTitle="No matching events" />
    </>
  );
}

function Export({ org, filters }: { org: string; filters: EventFilters }) {
  const { can, hasOwnKeys } = useOrganization();
  const sets = useSets(org, can("permission_sets:read"));
  const state = useExport();
  const read = (cursor: string | undefined, signal: AbortSignal) =>
    fetchEvents(org, filters, EXPORT_PAGE_SIZE, cursor, signal);
  const exportJson = () =>
    state.run(read, (events) => download("audit-log.json", "application/json", JSON.stringify(events, null, 1)));
  const exportCsv = () =>
    state.run(read, async (events, signal) => {
      const readable = { keys: can("api_keys:read") || hasOwnKeys, members: can("members:read") };
      const names = await readNames(org, keyIdsOf(events), readable, signal);
      for (const { id, name } of sets) names.set(id, name);
      const columns = eventColumns((id) => names.get(id));
      download("audit-log.csv", "text/csv", toCsv(columns, events));
    });
  const formats = [
    ["Export CSV", () => void exportCsv()],
    ["Export JSON", () => void exportJson()],
  ] as const;
  return <ExportButtons state={state} items="events" formats={formats} />;
}
