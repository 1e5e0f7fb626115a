// What stops when keys stop: who used them when, and how often.

import type { Key } from "../api/client.ts";
import { useUsage } from "../api/lookups.ts";
import { beginning, DAY, relative } from "../rules/time.ts";
import { useMe, useOrganization } from "../session.tsx";
import { Count, Notice, useNow } from "./basics.tsx";

export function Consequences({ keys }: { keys: Key[] }) {
  const me = useMe();
  const [only] = keys;
  return (
    <>
      {keys.some((key) => key.id === me.api_key?.id) && (
        <Notice tone="bad">
          <strong>You are signed in with {keys.length === 1 ? "this key" : "one of them"}.</strong>
          <span>You will be signed out.</span>
        </Notice>
      )}
      {keys.length === 1 && only !== undefined ? <OfOne of={only} /> : <OfMany keys={keys} />}
    </>
  );
}

function OfOne({ of }: { of: Key }) {
  const { org } = useOrganization();
  const now = useNow();
  const { data } = useUsage(org, of.id, "hour", beginning(now, "hour", DAY));
  if (of.last_used_at === null && of.request_count === 0) {
    return (
      <Notice tone="good">
        <strong>{of.name || of.start} was never used.</strong>
        <span>No use of it is on record.</span>
      </Notice>
    );
  }
  const lately = data?.series.reduce((sum, point) => sum + point.valid, 0);
  return (
    <Notice tone="warn">
      <strong>
        {of.name || of.start} was last used{" "}
        {of.last_used_at === null ? "before it came here" : relative(of.last_used_at, now)}.
      </strong>
      {of.request_count === 0 ? (
        <span>It was used to call Claviger itself, and never verified by a service.</span>
      ) : (
        <span>
          {lately !== undefined && <>It was found good {times(lately)} in the last 24 hours, and </>}
          {times(of.request_count)} in all. Whatever uses it will fail.
        </span>
      )}
    </Notice>
  );
}

function times(count: number): string {
  return count === 1 ? "once" : `${count.toLocaleString("en")} times`;
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
