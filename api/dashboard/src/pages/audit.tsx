// Who did what: filtered, and taken along as a file.

import { Download } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import type { AuditEvent } from "../api/client.ts";
import { useMembers } from "../api/lookups.ts";
import { Failure, Head } from "../parts/basics.tsx";
import { type EventFilters, EventTable, events } from "../parts/event-table.tsx";
import { Choice } from "../parts/field.tsx";
import { useFilters } from "../parts/use-filters.ts";
import { toCsv } from "../rules/csv.ts";
import { fromField } from "../rules/time.ts";
import { ACTIONS } from "../rules/words.ts";
import { useOrganization } from "../session.tsx";

const AT_ONCE = 1_000;

/** How long a file that was made is kept for the browser to take, in ms. */
const KEPT_FOR = 60_000;

const OUTCOMES = [
  ["", "All"],
  ["done", "Done"],
  ["refused", "Refused"],
  ["alarm", "Alarm"],
] as const;

const WHAT: [string, string][] = [
  ["", "Everything"],
  ["api_key.", "Everything about keys"],
  ["member.", "Everything about members"],
  ["permission_set.", "Everything about permission sets"],
  ["organization.", "Everything about the organization"],
  ...Object.entries(ACTIONS),
];

export function Audit() {
  const { org, can } = useOrganization();
  const people = useMembers(org, undefined, can("members:read")).data?.items ?? [];
  const { value, ask } = useFilters();
  // Days are the reader's own, as the times in the list are; the last one is meant whole.
  const since = fromField(value("since") && `${value("since")}T00:00`);
  const until = fromField(value("until") && `${value("until")}T23:59:59.999`);
  const filters: EventFilters = {
    ...(value("action") !== "" && { action: value("action") }),
    ...(value("actor") !== "" && { actor: value("actor") }),
    ...(value("outcome") !== "" && { outcome: value("outcome") as AuditEvent["outcome"] }),
    ...(since !== null && { since }),
    ...(until !== null && { until }),
  };
  return (
    <>
      <Head
        title="Audit log"
        about="Every change, every refused attempt, every alarm. Tampering with it can be detected."
      >
        <Export org={org} filters={filters} />
      </Head>
      <search className="filters">
        <Choice label="What" value={value("action")} of={WHAT} onChoice={(text) => ask("action", text)} />
        <Choice
          label="Who"
          value={value("actor")}
          of={[["", "Everybody"], ...people.map((member) => [member.user_id, member.user_name] as const)]}
          onChoice={(text) => ask("actor", text)}
        />
        <Choice label="Outcome" value={value("outcome")} of={OUTCOMES} onChoice={(text) => ask("outcome", text)} />
        <label className="field">
          From
          <input type="date" value={value("since")} onChange={(event) => ask("since", event.target.value)} />
        </label>
        <label className="field">
          Until
          <input type="date" value={value("until")} onChange={(event) => ask("until", event.target.value)} />
        </label>
      </search>
      <EventTable org={org} filters={filters} empty="Nothing like that was done" />
    </>
  );
}

function Export({ org, filters }: { org: string; filters: EventFilters }) {
  const [got, setGot] = useState<number | null>(null);
  const [problem, setProblem] = useState<unknown>(null);
  const stop = useRef<AbortController>(null);
  useEffect(() => () => stop.current?.abort(), []);
  const take = async (format: "csv" | "json") => {
    const control = new AbortController();
    stop.current = control;
    setProblem(null);
    setGot(0);
    try {
      const all: AuditEvent[] = [];
      let cursor: string | undefined;
      do {
        const page = await events(org, filters, AT_ONCE, cursor, control.signal);
        all.push(...page.items);
        setGot(all.length);
        cursor = page.next ?? undefined;
      } while (cursor !== undefined);
      if (format === "csv") save("audit-log.csv", "text/csv", toCsv(all));
      else save("audit-log.json", "application/json", JSON.stringify(all, null, 1));
    } catch (problem) {
      if (!control.signal.aborted) setProblem(problem);
    } finally {
      setGot(null);
    }
  };
  if (got !== null) {
    return (
      <span className="row" role="status">
        {got.toLocaleString("en")} events so far
        <button type="button" onClick={() => stop.current?.abort()}>
          Stop
        </button>
      </span>
    );
  }
  return (
    <>
      {problem !== null && <Failure of={problem} />}
      <button type="button" onClick={() => take("csv")}>
        <Download size={17} aria-hidden /> Export CSV
      </button>
      <button type="button" onClick={() => take("json")}>
        <Download size={17} aria-hidden /> Export JSON
      </button>
    </>
  );
}

function save(name: string, type: string, text: string): void {
  const address = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  // Not at once: some browsers begin to read it later.
  setTimeout(() => URL.revokeObjectURL(address), KEPT_FOR);
}
