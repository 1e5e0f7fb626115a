// Texts for the checks of a verification (docs/CONTRACTS.md, `explain`).

import type { DenyCode, Schemas } from "../../api/client.ts";
import { formatExact } from "../time.ts";

type Check = Schemas["VerifyCheck"];

/** Why a key is invalid, as the end of a sentence. */
export const DENY_TEXTS: Record<DenyCode, string> = {
  INVALID_API_KEY: "it is unknown in this organization, or revoked",
  ORGANIZATION_SUSPENDED: "its organization is suspended",
  KEY_DISABLED: "it is disabled",
  KEY_NOT_YET_VALID: "it is not valid yet",
  KEY_EXPIRED: "it has expired",
  ADDRESS_NOT_ALLOWED: "it cannot be used from this IP address",
  INSUFFICIENT_PERMISSIONS: "it lacks a permission",
  USAGE_EXCEEDED: "it has no uses left",
  RATE_LIMITED: "its rate limit is exceeded",
};

/** The result of a check. */
export function checkText({ check, passed, inputs }: Check): string {
  const list = (value: unknown) => (Array.isArray(value) ? value.join(", ") : "");
  const time = (value: unknown) => (typeof value === "string" ? formatExact(value) : "never");
  const number = (value: unknown) => Number(value).toLocaleString("en");
  switch (check) {
    case "key":
      if (passed) return `The key is known${inputs.can_manage === false ? ", and cannot manage Claviger" : ""}.`;
      if (typeof inputs.problem === "string") return `The key is unknown. ${inputs.problem}.`;
      return "The key is unknown: mistyped, revoked, rotated, or of another organization.";
    case "organization":
      return passed ? "Its organization is active." : "Its organization is suspended.";
    case "enabled":
      if (inputs.user_is_member === false) return "Its user is no longer a member of the organization.";
      return passed ? "It is enabled." : "It is disabled.";
    case "not_before":
      if (inputs.not_before == null) return "It has no start date.";
      return `It is valid from ${time(inputs.not_before)} on.`;
    case "expires_at":
      if (inputs.expires_at == null) return "It never expires.";
      return passed ? `It expires on ${time(inputs.expires_at)}.` : `It expired on ${time(inputs.expires_at)}.`;
    case "address":
      if (inputs.allowed_addresses == null) return "It can be used from any IP address.";
      if (inputs.ip == null)
        return `It can be used from ${list(inputs.allowed_addresses)} only; no IP address was given.`;
      return `It can be used from ${list(inputs.allowed_addresses)}; the client is ${String(inputs.ip)}.`;
    case "permissions":
      if (list(inputs.needed) === "") return "No permission is required.";
      return passed ? `It holds ${list(inputs.needed)}.` : `It lacks ${list(inputs.missing)}.`;
    case "remaining":
      return inputs.remaining == null
        ? "Its number of uses is unlimited."
        : `${number(inputs.remaining)} uses are left.`;
    case "rate_limit":
      if (inputs.limit == null) return "It has no rate limit.";
      return `${number(inputs.used)} of ${number(inputs.limit)} uses in this window${passed ? "" : `; available again in ${number(inputs.reset)} s`}.`;
  }
}
