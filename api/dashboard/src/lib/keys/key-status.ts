// The status of a key: the first that applies.

import type { Key, KeyQuery } from "../../api/client.ts";
import { DAY } from "../time.ts";

export type Status =
  "revoked" | "disabled" | "expired" | "not yet valid" | "used up" | "rotating" | "expiring soon" | "active";

/** A key is expiring soon in the last part of its lifetime: this share of it, and at most this time in ms. */
const LAST_SHARE = 0.2;
const MAX_LAST_PART = 30 * DAY;

/** The filter "expires within 30 days" lists keys that expire within this time in ms, however long they were valid. */
const EXPIRES_WITHIN = 30 * DAY;

/** A key with all permissions that was not used for this time in ms, and is as old, is overprivileged and unused. */
const UNUSED = 30 * DAY;

export function statusOf(key: Key, now: number): Status {
  const isPast = (at: string | null) => at !== null && Date.parse(at) <= now;
  if (key.deleted_at !== null) return "revoked";
  if (!key.enabled) return "disabled";
  if (isPast(key.expires_at)) return "expired";
  if (key.not_before !== null && !isPast(key.not_before)) return "not yet valid";
  if (key.remaining === 0) return "used up";
  if (isRotating(key, now)) return "rotating";
  if (isExpiringSoon(key, now)) return "expiring soon";
  return "active";
}

/** Whether the key is in the last part of its lifetime. A key that was created for a short time is not, at first. */
export function isExpiringSoon({ created_at, not_before, expires_at }: Key, now: number): boolean {
  if (expires_at === null) return false;
  const end = Date.parse(expires_at);
  const lifetime = end - Date.parse(not_before ?? created_at);
  return end - now < Math.min(lifetime * LAST_SHARE, MAX_LAST_PART);
}

/** Whether the previous secret is still valid. */
export function isRotating(key: Key, now: number): boolean {
  return key.previous_secret_expires_at !== null && Date.parse(key.previous_secret_expires_at) > now;
}

/** The query parameters that list the keys with a status. An unknown status lists all. */
export function statusQuery(status: string, now: number): KeyQuery {
  const enabled = { enabled: true, expired: false };
  const before = (time: number) => new Date(now - time).toISOString();
  switch (status) {
    case "active":
      return { ...enabled, exhausted: false };
    case "expiring soon":
      return { ...enabled, expires_before: new Date(now + EXPIRES_WITHIN).toISOString() };
    case "expired":
      return { expired: true };
    case "disabled":
      return { enabled: false };
    case "rotating":
      return { rotating: true };
    case "used up":
      return { exhausted: true };
    case "never used":
      return { ...enabled, used: false };
    case "idle":
      // Keys that were never used are included, if they had as much time for it.
      return { ...enabled, permission: "*", last_used_before: before(UNUSED), created_before: before(UNUSED) };
    case "revoked":
      return { deleted: true };
    default:
      return {};
  }
}

/** The values of the status filter with their labels. */
export const STATUS_OPTIONS: [string, string][] = [
  ["", "All"],
  ["active", "Enabled, not expired"],
  ["expiring soon", "Expiring within 30 days"],
  ["expired", "Expired"],
  ["disabled", "Disabled"],
  ["rotating", "Rotating"],
  ["used up", "Used up"],
  ["never used", "Never used"],
  ["idle", "All permissions, unused for 30 days"],
  ["revoked", "Revoked"],
];
