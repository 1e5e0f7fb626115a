// What a key is at the moment, in the words of the dashboard: the first that holds.

import type { Key, KeyQuery } from "../api/client.ts";
import { DAY } from "./time.ts";

export type Status =
  "revoked" | "disabled" | "expired" | "not yet valid" | "used up" | "rotating" | "expiring soon" | "active";

/** A key that expires within this time is expiring soon. */
const SOON = 30 * DAY;

/** A key that may do everything and was not used for this long has more than it uses. */
const IDLE = 30 * DAY;

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

export function isExpiringSoon(key: Key, now: number): boolean {
  return key.expires_at !== null && Date.parse(key.expires_at) < now + SOON;
}

/** Whether the text before the newest one still works. */
export function isRotating(key: Key, now: number): boolean {
  return key.previous_secret_expires_at !== null && Date.parse(key.previous_secret_expires_at) > now;
}

/** What a list is asked for to get the keys of a status. */
export function conditions(status: string, now: number): KeyQuery {
  const working = { enabled: true, expired: false };
  switch (status) {
    case "active":
      return { ...working, used_up: false };
    case "expiring soon":
      return { ...working, expires_before: new Date(now + SOON).toISOString() };
    case "expired":
      return { expired: true };
    case "disabled":
      return { enabled: false };
    case "rotating":
      return { rotating: true };
    case "used up":
      return { used_up: true };
    case "never used":
      return { ...working, used: false };
    case "idle":
      return { ...working, permission: "*", last_used_before: new Date(now - IDLE).toISOString() };
    case "revoked":
      return { deleted: true };
    default:
      return {};
  }
}

/** The conditions that a person chooses among, with what they mean. */
export const CHOICES: [string, string][] = [
  ["", "All"],
  ["active", "Enabled, not expired"],
  ["expiring soon", "Expiring within 30 days"],
  ["expired", "Expired"],
  ["disabled", "Disabled"],
  ["rotating", "Rotating"],
  ["used up", "Used up"],
  ["never used", "Never used"],
  ["idle", "May do everything, idle"],
  ["revoked", "Revoked"],
];
