// The totals of a period, compared with the period before.

import type { Usage } from "../../api/client.ts";
import { compareCounts, formatPercent, refusedShare, totalsOf } from "../../lib/usage.ts";
import { FormattedNumber } from "../ui/formatted-number.tsx";

interface Props {
  usage: Usage;
  /** The usage of the period before; undefined: it is not known, or not compared. */
  earlier: Usage | undefined;
  /** What the period before is called. */
  before: string;
}

export function UsageTotals({ usage, earlier, before }: Props) {
  const [now, then] = [totalsOf(usage), earlier && totalsOf(earlier)];
  const [share, shareThen] = [refusedShare(now), then && refusedShare(then)];
  return (
    <section className="stats" aria-label="Totals">
      <p className="card stat">
        <span className="muted">Valid</span>
        <strong>
          <FormattedNumber value={now.valid} />
        </strong>
        {then && <span className="hint">{compareCounts(now.valid, then.valid, before)}</span>}
      </p>
      <p className="card stat">
        <span className="muted">Refused</span>
        <strong>
          <FormattedNumber value={now.refused} />
        </strong>
        {then && <span className="hint">{compareCounts(now.refused, then.refused, before)}</span>}
      </p>
      <p className="card stat">
        <span className="muted">Share refused</span>
        <strong>{share === null ? "–" : formatPercent(share)}</strong>
        {typeof shareThen === "number" && (
          <span className="hint">
            {formatPercent(shareThen)} {before}
          </span>
        )}
      </p>
    </section>
  );
}
