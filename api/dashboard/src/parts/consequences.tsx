// What stops when keys stop: who used them when, and how often.

import type { Key } from "../api/client.ts";
import { useUsage } from "../api/lookups.ts";
import { DAY, HOUR, relative } from "../rules/time.ts";
import { useOrganization } from "../session.tsx";
import { Count, Notice, useNow } from "./basics.tsx";

/** The beginning of the hour a day ago: the same for an hour, so that it is asked for once. */
export function aDayAgo(now: number): string {
  return new Date(Math.floor((now - DAY) / HOUR) * HOUR).toISOString();
}

export function Consequences({ keys }: { keys: Key[] }) {
  const [only] = keys;
  return keys.length === 1 && only !== undefined ? <OfOne of={only} /> : <OfMany keys={keys} />;
}

function OfOne({ of }: { of: Key }) {
  const { org } = useOrganization();
  const now = useNow();
  const { data } = useUsage(org, of.id, "hour", aDayAgo(now));
  if (of.last_used_at === null) {
    return (
      <Notice tone="good">
        <strong>{of.name || of.start} was never used.</strong>
        <span>Nothing that runs today depends on it.</span>
      </Notice>
    );
  }
  const lately = data?.series.reduce((sum, point) => sum + point.valid, 0);
  return (
    <Notice tone="warn">
      <strong>
        {of.name || of.start} was last used {relative(of.last_used_at, now)}.
      </strong>
      <span>
        {lately !== undefined && (
          <>
            It was found good <Count of={lately} /> times in the last day, and{" "}
          </>
        )}
        <Count of={of.request_count} /> times in all. Whatever uses it will fail.
      </span>
    </Notice>
  );
}

function OfMany({ keys }: { keys: Key[] }) {
  const now = useNow();
  const used = keys.filter((key) => key.last_used_at !== null && Date.parse(key.last_used_at) > now - DAY);
  const busiest = used.toSorted((left, right) => right.request_count - left.request_count).slice(0, 5);
  if (used.length === 0) {
    return (
      <Notice tone="good">
        <strong>None of them was used in the last day.</strong>
      </Notice>
    );
  }
  return (
    <Notice tone="warn">
      <strong>{used.length === 1 ? "1 of them was" : `${used.length} of them were`} used in the last day:</strong>
      <ul>
        {busiest.map((key) => (
          <li key={key.id}>
            {key.name || key.start}: last used {relative(key.last_used_at ?? "", now)}, <Count of={key.request_count} />{" "}
            times in all
          </li>
        ))}
        {used.length > busiest.length && <li>and {used.length - busiest.length} more</li>}
      </ul>
    </Notice>
  );
}
