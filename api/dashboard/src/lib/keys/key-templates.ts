// Starting points for new keys.

import type { KeyFormValues } from "./key-fields.ts";
import { DAY, toDateTimeInput } from "../time.ts";

/** How long a new key is valid, unless something else is chosen, in ms. */
export const DEFAULT_LIFETIME = 90 * DAY;

export interface KeyTemplate {
  /** In the address: `keys/new?template=service`. */
  id: string;
  label: string;
  /** What the key is for. */
  hint: string;
  /** How long the key is valid, in ms. */
  lifetime: number;
  form: Pick<KeyFormValues, "name" | "can_manage" | "permissions">;
}

export const KEY_TEMPLATES: readonly KeyTemplate[] = [
  {
    id: "service",
    label: "Service key",
    hint: "For your service, to verify the keys of its callers.",
    lifetime: 365 * DAY,
    form: { name: "Service key", can_manage: true, permissions: ["api_keys:verify"] },
  },
  {
    id: "keys",
    label: "Manage keys",
    hint: "For a program that creates and revokes keys, for example for your customers.",
    lifetime: DEFAULT_LIFETIME,
    form: { name: "Key management", can_manage: true, permissions: ["api_keys:read", "api_keys:write"] },
  },
  {
    id: "audit",
    label: "Read the audit log",
    hint: "For a program that collects audit events.",
    lifetime: DEFAULT_LIFETIME,
    form: { name: "Audit export", can_manage: true, permissions: ["audit:read"] },
  },
  {
    id: "read",
    label: "Read everything",
    hint: "For a caller of your own API that reads every resource, and changes none.",
    lifetime: DEFAULT_LIFETIME,
    form: { name: "Read only", can_manage: false, permissions: ["read"] },
  },
];

/** The value of the field "Expires" for a new key that is valid this long, but not longer than the key that creates it. */
export function expiryAfter(lifetime: number, now: number, creatorExpiresAt: string | null): string {
  const latest = creatorExpiresAt === null ? Number.POSITIVE_INFINITY : Date.parse(creatorExpiresAt);
  // An expiry to the minute would be after that of the creator: without one, the service uses the creator's.
  if (now + lifetime >= latest) return "";
  return toDateTimeInput(new Date(now + lifetime).toISOString());
}
