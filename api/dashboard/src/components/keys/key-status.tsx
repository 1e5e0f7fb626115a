// The status of a key.

import type { Key } from "../../api/client.ts";
import { useNow } from "../../hooks/use-now.ts";
import { isExpiringSoon, type Status, statusOf } from "../../lib/keys/key-status.ts";
import { formatExact, formatRelative } from "../../lib/time.ts";
import { Badge, type Tone } from "../ui/badge.tsx";

const TONES: Record<Status, Tone | undefined> = {
  active: "success",
  "expiring soon": "warning",
  rotating: "info",
  "used up": "danger",
  "not yet valid": "info",
  expired: "danger",
  disabled: undefined,
  revoked: "danger",
};

export function StatusBadge({ status }: { status: Status }) {
  return <Badge tone={TONES[status]}>{status.charAt(0).toUpperCase() + status.slice(1)}</Badge>;
}

/** The time at which a status began or ends, and what happens then; null: there is none. */
function timeOf(apiKey: Key, status: Status): [verb: string, at: string | null] {
  switch (status) {
    case "expired":
    case "revoked":
      return ["", status === "expired" ? apiKey.expires_at : apiKey.deleted_at];
    case "expiring soon":
      return ["expires", apiKey.expires_at];
    case "not yet valid":
      return ["valid", apiKey.not_before];
    case "rotating":
      return ["previous secret expires", apiKey.previous_secret_expires_at];
    default:
      return ["", null];
  }
}

interface Props {
  apiKey: Key;
  /** In a table that has the time of expiry in another column: only the badge, and the times of other states. */
  isShort?: boolean;
}

/** The status with the time at which it began or ends, if there is one. */
export function KeyStatus({ apiKey, isShort = false }: Props) {
  const now = useNow();
  const status = statusOf(apiKey, now);
  const [verb, at] = timeOf(apiKey, status);
  const isInOtherColumn = isShort && status !== "revoked" && status !== "not yet valid";
  return (
    <span className="row status" title={at === null ? undefined : `${verb} ${formatExact(at)}`.trim()}>
      <StatusBadge status={status} />
      {!isShort && status === "rotating" && isExpiringSoon(apiKey, now) && <StatusBadge status="expiring soon" />}
      {at !== null && !isInOtherColumn && (
        <span className="muted small nowrap status-time">
          {isShort ? "" : `${verb} `}
          {formatRelative(at, now)}
        </span>
      )}
    </span>
  );
}
