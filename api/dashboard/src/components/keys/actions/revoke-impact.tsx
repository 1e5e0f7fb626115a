// What stops working if keys are disabled or revoked: when and how often they were used.

import type { Key } from "../../../api/client.ts";
import { useUsage } from "../../../api/queries.ts";
import { useMe } from "../../../hooks/use-me.ts";
import { useNow } from "../../../hooks/use-now.ts";
import { useOrganization } from "../../../hooks/use-organization.ts";
import { DAY, formatRelative, periodStart } from "../../../lib/time.ts";
import { FormattedNumber } from "../../ui/formatted-number.tsx";
import { Notice } from "../../ui/notice.tsx";

export function RevokeImpact({ keys }: { keys: Key[] }) {
  const me = useMe();
  const [only] = keys;
  return (
    <>
      {keys.some((key) => key.id === me.api_key?.id) && (
        <Notice tone="danger">
          <strong>You are signed in with {keys.length === 1 ? "this key" : "one of them"}.</strong>
          <span>You will be signed out.</span>
        </Notice>
      )}
      {keys.length === 1 && only !== undefined ? <ImpactOfOne apiKey={only} /> : <ImpactOfMany keys={keys} />}
    </>
  );
}

function ImpactOfOne({ apiKey }: { apiKey: Key }) {
  const { org } = useOrganization();
  const now = useNow();
  const { data } = useUsage(org, apiKey.id, "hour", periodStart(now, "hour", DAY));
  const name = apiKey.name || apiKey.start;
  if (apiKey.last_used_at === null && apiKey.request_count === 0) {
    return (
      <Notice tone="success">
        <strong>{name} was never used.</strong>
        <span>No use of it was counted.</span>
      </Notice>
    );
  }
  const lastDay = data?.series.reduce((sum, point) => sum + point.valid, 0);
  return (
    <Notice tone="warning">
      <strong>
        {name} was last used{" "}
        {apiKey.last_used_at === null ? "before it was imported" : formatRelative(apiKey.last_used_at, now)}.
      </strong>
      {apiKey.request_count === 0 ? (
        <span>It was used to call Claviger itself, and never verified by a service.</span>
      ) : (
        <span>
          {lastDay !== undefined && <>Verified {times(lastDay)} in the last 24 hours, and </>}
          {times(apiKey.request_count)} in total. Everything that uses it will fail.
        </span>
      )}
    </Notice>
  );
}

function times(count: number): string {
  return count === 1 ? "once" : `${count.toLocaleString("en")} times`;
}

function ImpactOfMany({ keys }: { keys: Key[] }) {
  const now = useNow();
  const used = keys.filter((key) => key.last_used_at !== null && Date.parse(key.last_used_at) > now - DAY);
  const mostUsed = used.toSorted((left, right) => right.request_count - left.request_count).slice(0, 5);
  if (used.length === 0) {
    return (
      <Notice tone="success">
        <strong>None of them was used in the last day.</strong>
      </Notice>
    );
  }
  return (
    <Notice tone="warning">
      <strong>{used.length === 1 ? "1 of them was" : `${used.length} of them were`} used in the last day:</strong>
      <ul>
        {mostUsed.map((key) => (
          <li key={key.id}>
            {key.name || key.start}: last used {formatRelative(key.last_used_at ?? "", now)},{" "}
            <FormattedNumber value={key.request_count} /> times in total
          </li>
        ))}
        {used.length > mostUsed.length && <li>and {used.length - mostUsed.length} more</li>}
      </ul>
    </Notice>
  );
}
