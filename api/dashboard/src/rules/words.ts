// What the service says, in words for people who have not read its documents.

import { Problem } from "../api/client.ts";

/** What happened and what one can do about it. */
export function explain(problem: unknown): string {
  if (!(problem instanceof Problem)) return "Something in this page went wrong. Loading it anew may help.";
  const fields = Object.entries(problem.fields).map(([name, wrong]) => `${fieldName(name)} ${wrong}.`);
  switch (problem.status) {
    case 0:
      return "The service did not answer. Is it running, and are you online?";
    case 400:
      return fields.length > 0 ? fields.join(" ") : `${problem.message}.`;
    case 401:
      return "You are not signed in any more: the session has ended, or the key behind it.";
    case 403:
      return forbidden(problem.message);
    case 404:
      return "It is not here: it was removed, or belongs to another organization.";
    case 409:
      return `${problem.message}.`;
    case 412:
      return "Somebody else has changed this in the meantime. Load it anew, and make your change again.";
    case 413:
      return "That is more than the service takes at once.";
    case 422:
      return "The first answer to this was lost, and it may have been done. Look before you do it again.";
    case 429:
      return "Too many attempts from your address. Wait a minute, then try again.";
    case 503:
      return problem.message.startsWith("Not configured")
        ? "Signing in is not set up: the operator has to give the service a signing key (CLAVIGER_SIGNING_KEY_FILE)."
        : "The service cannot reach its database at the moment. Nothing is lost; try again soon.";
    default:
      return "The service has failed. The request id tells its operators what happened.";
  }
}

function forbidden(message: string): string {
  const needed = /^The permission (\S+) is needed/.exec(message)?.[1];
  return needed === undefined ? `${message}.` : `This needs the permission ${needed}, which you do not have.`;
}

/** `rate_limit_max` is "Rate limit max". */
export function fieldName(name: string): string {
  const words = name.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** Verdicts of verify: why a key is not good. */
export const OUTCOMES: Record<string, string> = {
  VALID: "Valid",
  INVALID_API_KEY: "Unknown key",
  ORGANIZATION_SUSPENDED: "Organization suspended",
  KEY_DISABLED: "Disabled",
  KEY_NOT_YET_VALID: "Not yet valid",
  KEY_EXPIRED: "Expired",
  ADDRESS_NOT_ALLOWED: "Address not allowed",
  INSUFFICIENT_PERMISSIONS: "Permission missing",
  USAGE_EXCEEDED: "Used up",
  RATE_LIMITED: "Rate limited",
};

/** What the log calls what was done. */
export const ACTIONS: Record<string, string> = {
  "organization.sign_up": "Signed up",
  "organization.bootstrap": "Set up the platform",
  "api_key.create": "Created key",
  "api_key.update": "Changed key",
  "api_key.rotate": "Rotated key",
  "api_key.end_secret": "Ended old secret of key",
  "api_key.delete": "Revoked key",
  "api_key.restore": "Restored key",
  "api_key.import": "Imported key",
  "api_key.use_contested_secret": "Contested key was used",
  "api_key.use_ended_secret": "Old secret was used after its end",
  "organization.create": "Created organization",
  "organization.update": "Changed organization",
  "organization.suspend": "Suspended organization",
  "organization.resume": "Resumed organization",
  "organization.delete": "Deleted organization",
  "member.add": "Added member",
  "member.update": "Changed member",
  "member.remove": "Removed member",
  "permission_set.create": "Created permission set",
  "permission_set.update": "Changed permission set",
  "permission_set.delete": "Deleted permission set",
};
