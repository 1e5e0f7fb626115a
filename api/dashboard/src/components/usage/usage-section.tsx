// The usage of a key or an organization in a period: totals, a chart, why keys were refused, and which keys were used most.

import { useState } from "react";
import { useUsage } from "../../api/queries.ts";
import { useNow } from "../../hooks/use-now.ts";
import {
  DEFAULT_PERIOD,
  LONGEST_PERIOD,
  periodBefore,
  PERIODS,
  type UsagePeriod,
  usageRange,
} from "../../lib/usage.ts";
import { ErrorNotice } from "../ui/error-notice.tsx";
import { Loading } from "../ui/loading.tsx";
import { RefusalReasons } from "./refusal-reasons.tsx";
import { TopUsage } from "./top-usage.tsx";
import { UsagePanel } from "./usage-panel.tsx";
import { UsageTotals } from "./usage-totals.tsx";

/** `keyId` null: all keys of the organization. */
export function UsageSection({ org, keyId }: { org: string; keyId: string | null }) {
  const [period, setPeriod] = useState<UsagePeriod>(DEFAULT_PERIOD);
  const now = useNow();
  const { from, beforeFrom, beforeUntil } = usageRange(now, period);
  const { data: usage, error, refetch } = useUsage(org, keyId, period.by, from);
  const isCompared = period.days < LONGEST_PERIOD.days;
  const { data: earlier } = useUsage(org, keyId, "hour", beforeFrom, beforeUntil, isCompared);
  const periods = keyId === null ? PERIODS : [...PERIODS, LONGEST_PERIOD];
  return (
    <section className="stack spacious" aria-label="Usage">
      <div className="space-between">
        <h2>
          Usage <span className="muted small">days in UTC, today included</span>
        </h2>
        <select
          aria-label="Period"
          className="small auto-width"
          value={period.label}
          onChange={(event) => setPeriod(periods.find(({ label }) => label === event.target.value) ?? DEFAULT_PERIOD)}
        >
          {periods.map(({ label }) => (
            <option key={label}>{label}</option>
          ))}
        </select>
      </div>
      {error !== null && <ErrorNotice error={error} retry={refetch} />}
      {usage === undefined && error === null && <Loading label="Loading usage" />}
      {usage !== undefined && (
        <>
          <UsageTotals usage={usage} earlier={earlier} before={periodBefore(now, period)} />
          <UsagePanel usage={usage} title={keyId === null ? "Verifications of all keys" : "Verifications"} />
          <div className="card-grid">
            <RefusalReasons key={period.label} org={org} usage={usage} from={keyId === null ? from : null} />
            {keyId === null && <TopUsage org={org} from={from} />}
          </div>
        </>
      )}
    </section>
  );
}
