// The uses that a key has left, and its refill.

import type { Key } from "../../api/client.ts";
import { formatInterval } from "../../lib/time.ts";
import { FormattedNumber } from "../ui/formatted-number.tsx";
import { Meter } from "../ui/meter.tsx";

export function UsesLeft({ apiKey }: { apiKey: Key }) {
  const { remaining, refill_amount, refill_interval } = apiKey;
  if (remaining === null) return <span className="muted">unlimited</span>;
  return (
    <span>
      <FormattedNumber value={remaining} />
      {refill_amount !== null && refill_interval !== null && (
        <>
          {" "}
          <span className="muted small">
            of <FormattedNumber value={refill_amount} />
            <span className="refill-interval"> every {formatInterval(refill_interval)}</span>
          </span>
        </>
      )}
      <Meter left={remaining} total={refill_amount ?? remaining + apiKey.request_count} />
    </span>
  );
}
