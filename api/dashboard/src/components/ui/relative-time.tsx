// A time relative to now, with the exact time as its tooltip.

import { useNow } from "../../hooks/use-now.ts";
import { formatExact, formatRelative } from "../../lib/time.ts";

export function RelativeTime({ at, none = "never" }: { at: string | null; none?: string }) {
  const now = useNow();
  if (at === null) return <span className="muted">{none}</span>;
  return (
    <time dateTime={at} title={formatExact(at)} className="nowrap">
      {formatRelative(at, now)}
    </time>
  );
}
