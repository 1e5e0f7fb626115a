// The checks of verify in words (docs/CONTRACTS.md, `explain`).

import type { Schemas } from "../api/client.ts";
import { exact } from "./time.ts";

type Check = Schemas["VerifyCheck"];

const REASONS: Record<string, string> = {
  INVALID_API_KEY: "it is no key of this organization, or it was revoked",
  ORGANIZATION_SUSPENDED: "its organization is suspended",
  KEY_DISABLED: "it is disabled",
  KEY_NOT_YET_VALID: "it is not valid yet",
  KEY_EXPIRED: "it has expired",
  ADDRESS_NOT_ALLOWED: "it may not be used from this address",
  INSUFFICIENT_PERMISSIONS: "it lacks a permission",
  USAGE_EXCEEDED: "it is used up",
  RATE_LIMITED: "it was used too often in a short time",
};

/** Why a key is refused. */
export function reasonWords(code: string): string {
  return REASONS[code] ?? code;
}

/** What a check has found. */
export function checkWords({ check, passed, inputs }: Check): string {
  const list = (value: unknown) => (Array.isArray(value) ? value.join(", ") : "");
  const moment = (value: unknown) => (typeof value === "string" ? exact(value) : "never");
  const number = (value: unknown) => Number(value).toLocaleString("en");
  switch (check) {
    case "key":
      return passed ? "The key is known." : "No such key is known here: mistyped, revoked, ended, or somebody else's.";
    case "organization":
      return passed ? "Its organization is active." : "Its organization is suspended.";
    case "enabled":
      if (inputs.user_is_member === false) return "Its user is no member of the organization any more.";
      return passed ? "It is enabled." : "It is disabled.";
    case "not_before":
      if (inputs.not_before == null) return "It has no start date.";
      return `It is valid from ${moment(inputs.not_before)} on.`;
    case "expires_at":
      if (inputs.expires_at == null) return "It never expires.";
      return passed ? `It expires on ${moment(inputs.expires_at)}.` : `It expired on ${moment(inputs.expires_at)}.`;
    case "address":
      if (inputs.allowed_addresses == null) return "It may be used from anywhere.";
      if (inputs.ip == null) return `It may be used from ${list(inputs.allowed_addresses)} only; no address was given.`;
      return `It may be used from ${list(inputs.allowed_addresses)}; it was asked for ${String(inputs.ip)}.`;
    case "permissions":
      if (list(inputs.needed) === "") return "No permission was asked for.";
      return passed ? `It holds ${list(inputs.needed)}.` : `It lacks ${list(inputs.missing)}.`;
    case "remaining":
      return inputs.remaining == null
        ? "It may be used any number of times."
        : `${number(inputs.remaining)} uses are left.`;
    case "rate_limit":
      if (inputs.limit == null) return "It has no rate limit.";
      return `${number(inputs.used)} of ${number(inputs.limit)} uses of this window are spent${passed ? "" : `; again in ${number(inputs.reset)} s`}.`;
    default:
      return check;
  }
}
