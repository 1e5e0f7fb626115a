// Why keys were refused in a period, and on request which keys.

import { useId, useState } from "react";
import type { Usage, UsageOutcome, VerdictCode } from "../../api/client.ts";
import { VERDICT_TEXTS } from "../../lib/messages.ts";
import { refusalsOf } from "../../lib/usage.ts";
import { FormattedNumber } from "../ui/formatted-number.tsx";
import { RankedList } from "./ranked-list.tsx";
import { ShareBar } from "./share-bar.tsx";

interface Props {
  org: string;
  usage: Usage;
  /** Start of the period, to find the keys behind a reason; null: the usage is that of one key. */
  from: string | null;
}

export function RefusalReasons({ org, usage, from }: Props) {
  const [open, setOpen] = useState<VerdictCode | null>(null);
  const refusals = refusalsOf(usage);
  const most = refusals[0]?.[1] ?? 0;
  const id = useId();
  return (
    <section className="card" aria-label="Refusals by reason">
      <h2>Refusals by reason</h2>
      {refusals.length === 0 && <p className="muted">No key was refused in this period.</p>}
      {from !== null && refusals.length > 0 && <p className="hint">Choose a reason to see the keys behind it.</p>}
      <ul className="compact-list ranked">
        {refusals.map(([code, count]) => (
          <li key={code}>
            {from === null ? (
              <span>{VERDICT_TEXTS[code]}</span>
            ) : (
              <button
                type="button"
                className="link"
                aria-expanded={open === code}
                aria-controls={`${id}-${code}`}
                onClick={() => setOpen(open === code ? null : code)}
              >
                {VERDICT_TEXTS[code]}
              </button>
            )}
            <span className="counts">
              <FormattedNumber value={count} />
            </span>
            <ShareBar valid={0} refused={count} total={most} />
            {from !== null && open === code && (
              <section id={`${id}-${code}`} className="behind" aria-label={`Keys refused: ${VERDICT_TEXTS[code]}`}>
                <RankedList
                  org={org}
                  query={{ group_by: "api_key", outcome: code as UsageOutcome, from, limit: 10 }}
                  emptyText="These keys have been revoked since then."
                />
              </section>
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}
