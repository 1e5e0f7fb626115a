// Verifications over time by verdict, as a chart or as a table.

import { lazy, Suspense, useState } from "react";
import type { Usage, VerdictCode } from "../../api/client.ts";
import { VERDICT_TEXTS } from "../../lib/messages.ts";
import { formatPeriod } from "../../lib/time.ts";
import { ErrorBoundary } from "../ui/error-boundary.tsx";
import { FormattedNumber } from "../ui/formatted-number.tsx";
import { Loading } from "../ui/loading.tsx";

// Loaded on demand: the chart library is large, and most pages have no chart.
const UsageChart = lazy(() => import("./usage-chart.tsx"));

/** The verdicts of a series: `VALID` first, the others by name. */
function verdictsOf(usage: Usage): VerdictCode[] {
  const all = Object.keys(usage.total) as VerdictCode[];
  return all.sort((left, right) => Number(right === "VALID") - Number(left === "VALID") || left.localeCompare(right));
}

export function UsagePanel({ usage, title }: { usage: Usage; title: string }) {
  const [isTable, setTable] = useState(false);
  return (
    <section className="card" aria-label={title}>
      <div className="space-between">
        <h2>
          {title} <span className="muted small">by {usage.by}, UTC</span>
        </h2>
        <button type="button" className="small" aria-pressed={isTable} onClick={() => setTable(!isTable)}>
          {isTable ? "Show as chart" : "Show as table"}
        </button>
      </div>
      <UsageView usage={usage} isTable={isTable} />
    </section>
  );
}

function UsageView({ usage, isTable }: { usage: Usage; isTable: boolean }) {
  const verdicts = verdictsOf(usage);
  if (Object.values(usage.total).every((count) => count === 0))
    return <p className="muted">No verifications in this period.</p>;
  if (isTable) return <UsageTable usage={usage} verdicts={verdicts} />;
  return (
    <ErrorBoundary>
      <Suspense fallback={<Loading label="Loading the chart" />}>
        <UsageChart usage={usage} verdicts={verdicts} />
      </Suspense>
    </ErrorBoundary>
  );
}

function UsageTable({ usage, verdicts }: { usage: Usage; verdicts: VerdictCode[] }) {
  const points = usage.series.filter((point) => point.valid + point.refused > 0).reverse();
  return (
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- it scrolls, so it must be reachable by keyboard.
    <section className="table-scroll" tabIndex={0} aria-label="Usage in numbers">
      <table>
        <thead>
          <tr>
            <th scope="col">{usage.by === "hour" ? "Hour" : "Day"} (UTC)</th>
            {verdicts.map((verdict) => (
              <th key={verdict} scope="col" className="number">
                {VERDICT_TEXTS[verdict]}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {points.map((point) => (
            <tr key={point.at}>
              <td className="nowrap">{formatPeriod(point.at, usage.by)}</td>
              {verdicts.map((verdict) => (
                <td key={verdict} className="number">
                  <FormattedNumber value={Number(point.outcomes[verdict] ?? 0)} />
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      <p className="hint">Periods without verifications are left out.</p>
    </section>
  );
}
