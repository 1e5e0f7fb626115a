// Verifies over time by outcome: as a chart, and as a table for those who read or hear numbers better.

import { lazy, Suspense, useState } from "react";
import type { Usage as Series } from "../api/client.ts";
import { useUsage } from "../api/lookups.ts";
import { beginning, DAY, type Step } from "../rules/time.ts";
import { OUTCOMES } from "../rules/words.ts";
import { Boundary } from "./boundary.tsx";
import { Count, Failure, Loading, useNow } from "./basics.tsx";

// The chart library is most of the page's weight, and most pages have no chart.
const Chart = lazy(() => import("./chart.tsx"));

const RANGES = [
  { label: "24 hours", by: "hour", length: DAY },
  { label: "7 days", by: "hour", length: 7 * DAY },
  { label: "30 days", by: "day", length: 30 * DAY },
  { label: "90 days", by: "day", length: 90 * DAY },
] as const satisfies { label: string; by: Step; length: number }[];

/** What a step of the series is called: in UTC, in which steps begin. */
export function stepName(at: string, by: Step): string {
  const options =
    by === "hour"
      ? ({ day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" } as const)
      : ({ day: "numeric", month: "short" } as const);
  return new Intl.DateTimeFormat("en-GB", { ...options, timeZone: "UTC" }).format(new Date(at));
}

/** Outcomes of a series with their numbers, the good one first. */
function outcomesOf(usage: Series): string[] {
  const all = Object.keys(usage.total);
  return all.sort((left, right) => Number(right === "VALID") - Number(left === "VALID") || left.localeCompare(right));
}

export function UsagePanel({ org, apiKey, title }: { org: string; apiKey: string | null; title: string }) {
  const [range, setRange] = useState<(typeof RANGES)[number]>(RANGES[0]);
  const [isTable, setTable] = useState(false);
  const now = useNow();
  const { data, error, refetch } = useUsage(org, apiKey, range.by, beginning(now, range.by, range.length));
  return (
    <section className="card" aria-label={title}>
      <div className="spread">
        <h2>
          {title} <span className="faint small">UTC</span>
        </h2>
        <div className="row">
          <select
            aria-label="Time"
            className="small fit"
            value={range.label}
            onChange={(event) => setRange(RANGES.find(({ label }) => label === event.target.value) ?? RANGES[0])}
          >
            {RANGES.map(({ label, by }) => (
              <option key={label} value={label}>
                Last {label}, by {by}
              </option>
            ))}
          </select>
          <button type="button" className="small" aria-pressed={isTable} onClick={() => setTable(!isTable)}>
            {isTable ? "Show as chart" : "Show as table"}
          </button>
        </div>
      </div>
      {error !== null && <Failure of={error} retry={refetch} />}
      {data === undefined && error === null && <Loading what="Loading usage" />}
      {data !== undefined && <Shown usage={data} isTable={isTable} />}
    </section>
  );
}

function Shown({ usage, isTable }: { usage: Series; isTable: boolean }) {
  const outcomes = outcomesOf(usage);
  if (Object.values(usage.total).every((count) => count === 0))
    return <p className="faint">Nothing was verified in this time.</p>;
  if (isTable) return <Numbers usage={usage} outcomes={outcomes} />;
  return (
    <Boundary>
      <Suspense fallback={<Loading what="Loading the chart" />}>
        <Chart usage={usage} outcomes={outcomes} />
      </Suspense>
    </Boundary>
  );
}

function Numbers({ usage, outcomes }: { usage: Series; outcomes: string[] }) {
  const points = usage.series.filter((point) => point.valid + point.refused > 0).reverse();
  return (
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- it scrolls, so the keyboard has to get to it.
    <section className="scroll" tabIndex={0} aria-label="Usage in numbers">
      <table>
        <thead>
          <tr>
            <th scope="col">{usage.by === "hour" ? "Hour" : "Day"} (UTC)</th>
            {outcomes.map((outcome) => (
              <th key={outcome} scope="col" className="number">
                {OUTCOMES[outcome] ?? outcome}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {points.map((point) => (
            <tr key={point.at}>
              <td className="nowrap">{stepName(point.at, usage.by)}</td>
              {outcomes.map((outcome) => (
                <td key={outcome} className="number">
                  <Count of={Number(point.outcomes[outcome] ?? 0)} />
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      <p className="hint">Times without a verify are left out.</p>
    </section>
  );
}
