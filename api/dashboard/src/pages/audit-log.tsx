// The audit log: filtered, and exported as CSV or JSON.

import { Download } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import type { AuditEvent, AuditOutcome } from "../api/client.ts";
import { useMembers } from "../api/queries.ts";
import { AuditEventTable, type EventFilters, fetchEvents } from "../components/audit-event-table.tsx";
import { ErrorNotice } from "../components/ui/error-notice.tsx";
import { PageHeader } from "../components/ui/page-header.tsx";
import { SelectField } from "../components/ui/select-field.tsx";
import { useFilters } from "../hooks/use-filters.ts";
import { useOrganization } from "../hooks/use-organization.ts";
import { toCsv } from "../lib/csv.ts";
import { ACTION_TEXTS, OUTCOME_TEXTS } from "../lib/messages.ts";
import { fromDateTimeInput } from "../lib/time.ts";

/** Events in one request of an export. */
const EXPORT_PAGE_SIZE = 1_000;

/** How long an exported file stays available to the browser, in ms. */
const DOWNLOAD_TIMEOUT = 60_000;

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
  /** Number of events that were read; null: no export is running. */
  const [progress, setProgress] = useState<number | null>(null);
  const [error, setError] = useState<unknown>(null);
  const abort = useRef<AbortController>(null);
  useEffect(() => () => abort.current?.abort(), []);
  const exportAs = async (format: "csv" | "json") => {
    const controller = new AbortController();
    abort.current = controller;
    setError(null);
    setProgress(0);
    try {
      const all: AuditEvent[] = [];
      let cursor: string | undefined;
      do {
        const page = await fetchEvents(org, filters, EXPORT_PAGE_SIZE, cursor, controller.signal);
        all.push(...page.items);
        setProgress(all.length);
        cursor = page.next ?? undefined;
      } while (cursor !== undefined);
      if (format === "csv") download("audit-log.csv", "text/csv", toCsv(all));
      else download("audit-log.json", "application/json", JSON.stringify(all, null, 1));
    } catch (error) {
      if (!controller.signal.aborted) setError(error);
    } finally {
      setProgress(null);
    }
  };
  if (progress !== null) {
    return (
      <span className="row" role="status">
        {progress.toLocaleString("en")} events so far
        <button type="button" onClick={() => abort.current?.abort()}>
          Stop
        </button>
      </span>
    );
  }
  return (
    <>
      {error !== null && <ErrorNotice error={error} />}
      <button type="button" onClick={() => exportAs("csv")}>
        <Download size={17} aria-hidden /> Export CSV
      </button>
      <button type="button" onClick={() => exportAs("json")}>
        <Download size={17} aria-hidden /> Export JSON
      </button>
    </>
  );
}

function download(name: string, type: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  // Not at once: some browsers start to read the file later.
  setTimeout(() => URL.revokeObjectURL(url), DOWNLOAD_TIMEOUT);
}
