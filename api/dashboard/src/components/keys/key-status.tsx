// The status of a key.

import type { Key } from "../../api/client.ts";
import { useNow } from "../../hooks/use-now.ts";
import { isExpiringSoon, type Status, statusOf } from "../../lib/key-status.ts";
import { formatRelative } from "../../lib/time.ts";
import { Badge, type Tone } from "../ui/badge.tsx";

const TONES: Record<Status, Tone | undefined> = {
  active: "success",
  "expiring soon": "warning",
  rotating: "info",
  "used up": "warning",
  "not yet valid": "info",
  expired: "danger",
  disabled: undefined,
  revoked: "danger",
};

export function StatusBadge({ status }: { status: Status }) {
  return <Badge tone={TONES[status]}>{status.charAt(0).toUpperCase() + status.slice(1)}</Badge>;
}

/** The status with the time at which it began or ends, if there is one. */
export function KeyStatus({ apiKey }: { apiKey: Key }) {
  const now = useNow();
  const status = statusOf(apiKey, now);
  const times: Record<Status, string | null> = {
    expired: apiKey.expires_at,
    "expiring soon": apiKey.expires_at,
    "not yet valid": apiKey.not_before,
    rotating: apiKey.previous_secret_expires_at,
    revoked: apiKey.deleted_at,
    active: null,
    disabled: null,
    "used up": null,
  };
  const time = times[status];
  return (
    <span className="row">
      <StatusBadge status={status} />
      {status === "rotating" && isExpiringSoon(apiKey, now) && <StatusBadge status="expiring soon" />}
      {time !== null && (
        <span className="muted small nowrap">
          {status === "rotating" ? "expires " : ""}
          {formatRelative(time, now)}
        </span>
      )}
    </span>
  );
}
