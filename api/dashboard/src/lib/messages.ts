// Texts for the values of the API's enums. Each table has all values of its enum: the compiler reports a missing one.

import {
  ApiError,
  type AuditAction,
  type AuditEvent,
  type AuditOutcome,
  type AuditReason,
  type Reason,
  type VerdictCode,
} from "../api/client.ts";
import { PasskeyError } from "./passkey.ts";

/** Texts of errors; null: the message of the service says it. */
const ERROR_TEXTS: Record<Reason, string | null> = {
  no_answer: "The service did not answer. Is it running, and are you online?",
  unknown: "The service has failed. Its operator can find the cause by the request id.",
  malformed_request: null,
  body_timeout: "The request was not received in time, and nothing was changed. Check your connection, and try again.",
  invalid_fields: null,
  malformed_body: null,
  nothing_to_change: null,
  never_valid: null,
  refill_amount_required: null,
  refill_interval_required: null,
  too_many_permissions: null,
  key_policy_violated: null,
  unauthenticated: "You are no longer signed in: the session has ended, or its key is no longer valid.",
  invalid_credential: "You are no longer signed in: the session has ended, or its key is no longer valid.",
  permission_required: null,
  cannot_manage: null,
  exceeds_permissions: null,
  exceeds_expiry: null,
  exceeds_addresses: null,
  organization_required: null,
  person_required: null,
  portal_session_required: null,
  portal_action_not_allowed: null,
  portal_link_not_found: null,
  provider_not_allowed: null,
  passkey_rejected: "This passkey is not accepted: it was removed, or the attempt took too long. Try again.",
  passkey_account_required: null,
  session_cannot_create_session: null,
  session_cannot_create_token: null,
  api_key_required: null,
  metered_key_not_exchangeable: null,
  restricted_key_not_exchangeable: null,
  platform_key_not_exchangeable: null,
  session_cannot_rotate_own_key: null,
  fresh_sign_in_required: "This needs a sign-in within the last 10 minutes. Nothing was changed.",
  platform_only: null,
  cross_site_request: null,
  sign_up_closed: null,
  local_only: null,
  not_found: "Not found: it was deleted, or belongs to another organization.",
  user_not_found: null,
  permission_set_not_found: null,
  invitation_not_found: null,
  unknown_path: "The service does not know this operation. It may have a newer version: reload the page.",
  method_not_allowed: "The service does not know this operation. It may have a newer version: reload the page.",
  name_taken: null,
  external_id_taken: null,
  email_taken: null,
  already_member: null,
  last_passkey: null,
  passkey_limit_reached: null,
  last_administrator: null,
  permission_set_in_use: null,
  key_limit_reached: null,
  member_limit_reached: null,
  permission_set_limit_reached: null,
  invitation_limit_reached: null,
  trust_rule_limit_reached: null,
  portal_session_limit_reached: null,
  portal_key_limit_reached: null,
  key_format_limit_reached: null,
  token_limit_reached: null,
  key_would_exceed_permissions: null,
  member_would_exceed_permissions: null,
  rotation_in_progress: null,
  newest_secret_used: null,
  no_previous_secret: null,
  secret_in_use: null,
  concurrent_changes: null,
  idempotent_request_in_progress: null,
  idempotent_response_not_stored: null,
  platform_protected: null,
  platform_exists: null,
  version_mismatch: "It was changed in the meantime. Reload it, and make your change again.",
  body_too_large: "The request is too large.",
  unsupported_media_type: null,
  idempotency_key_reused:
    "The response to an earlier attempt was lost, and it may have succeeded. Check before you try again.",
  rate_limited: "Too many requests. Wait a minute, then try again.",
  too_many_attempts: null,
  too_many_lists: "Too many requests. Wait a minute, then try again.",
  change_limit_reached: null,
  idempotency_key_limit_reached: "Too many requests. Wait a minute, then try again.",
  service_token_limit_reached: null,
  internal: "The service has failed. Its operator can find the cause by the request id.",
  unavailable: "The service is temporarily unavailable. Try again in a moment.",
  overloaded: "The service is temporarily unavailable. Try again in a moment.",
  timeout: "The service took too long. If this was a change, check whether it was made before you try again.",
  not_configured: "Signing in is not configured: the service needs a signing key (CLAVIGER_SIGNING_KEY_FILE).",
  passkeys_unavailable: null,
  public_origin_required: null,
};

/** What went wrong, and what to do about it. */
export function errorMessage(error: unknown): string {
  if (error instanceof PasskeyError) return error.message;
  if (!(error instanceof ApiError)) return "Something went wrong on this page. Reload it, and try again.";
  const isRule = error.reason === "key_policy_violated";
  const fields = Object.entries(error.fields).map(
    ([name, text]) => `${fieldLabel(name)}${isRule ? `: ${inWordsOfForm(text)}` : ` ${text}`}.`,
  );
  if (fields.length > 0) return fields.join(" ");
  // A newer service may send a reason that is not in the table.
  return ERROR_TEXTS[error.reason] ?? `${error.message}.`;
}

/** Reasons that the same request by the same caller always gets. */
const DENIED: ReadonlySet<Reason> = new Set<Reason>([
  "permission_required",
  "cannot_manage",
  "organization_required",
  "platform_only",
  "cross_site_request",
]);

/** Whether it makes sense to offer to send the request again. */
export function canRetry(error: unknown): boolean {
  return !(error instanceof ApiError && DENIED.has(error.reason));
}

const TRANSIENT: ReadonlySet<Reason> = new Set<Reason>([
  "no_answer",
  "unknown",
  "internal",
  "unavailable",
  "overloaded",
  "timeout",
]);

/** Whether the same request may succeed in a moment. */
export function isTransient(error: unknown): boolean {
  return error instanceof ApiError && TRANSIENT.has(error.reason);
}

/** `rate_limit_max` is "Rate limit max", and `key_policy.prefix` is "Rule prefix". */
export function fieldLabel(name: string): string {
  const rule = /(?:^|\.)key_policy\.(.+)$/.exec(name)?.[1];
  const text = (rule === undefined ? name : `rule ${rule}`).replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** What messages about broken rules ask for, and how the form for keys calls it. */
const WORDS_OF_FORM = [
  ["set expires_at", "set “Expires”"],
  ["set allowed_addresses", "set “Allowed IP addresses”"],
  ["set can_manage to false", "set the purpose “For your own API”"],
] as const;

/** The message about a broken rule, with the labels of the form for keys instead of the fields of the API. */
export function inWordsOfForm(message: string): string {
  return WORDS_OF_FORM.reduce((text, [asked, words]) => text.replace(asked, words), message);
}

/** Verdicts of a verification. */
export const VERDICT_TEXTS: Record<VerdictCode, string> = {
  VALID: "Valid",
  INVALID_API_KEY: "Unknown key",
  ORGANIZATION_SUSPENDED: "Organization suspended",
  KEY_DISABLED: "Disabled",
  KEY_NOT_YET_VALID: "Not yet valid",
  KEY_EXPIRED: "Expired",
  ADDRESS_NOT_ALLOWED: "IP address not allowed",
  INSUFFICIENT_PERMISSIONS: "Permission missing",
  USAGE_EXCEEDED: "Used up",
  RATE_LIMITED: "Rate limited",
};

/** Outcomes of audit events. */
export const OUTCOME_TEXTS: Record<AuditOutcome, string> = {
  done: "Done",
  refused: "Refused",
  alarm: "Alarm",
};

/** Actions of audit events. */
export const ACTION_TEXTS: Record<AuditAction, string> = {
  "organization.sign_up": "Signed up",
  "organization.bootstrap": "Set up the platform",
  "api_key.create": "Created key",
  "api_key.update": "Changed key",
  "api_key.allow_management": "Allowed key to manage Claviger",
  "api_key.deny_management": "Disallowed key to manage Claviger",
  "api_key.rotate": "Rotated key",
  "api_key.undo_rotation": "Undid rotation of key",
  "api_key.end_secret": "Revoked previous secret of key",
  "api_key.disable_unrotated": "Disabled key whose secret was not rotated",
  "api_key.disable_unused": "Disabled unused key",
  "api_key.delete": "Revoked key",
  "api_key.restore": "Restored key",
  "api_key.import": "Imported key",
  "api_key.use_contested_secret": "Key imported by two organizations was used",
  "api_key.use_ended_secret": "Expired or revoked secret was used",
  "api_key.authenticate": "Authenticated with key",
  "api_key.export": "Listed all keys at once",
  "session.open": "Created session",
  "session.close": "Ended session",
  "token.create": "Created token",
  "token.revoke": "Revoked token",
  "organization.create": "Created organization",
  "organization.update": "Changed organization",
  "organization.suspend": "Suspended organization",
  "organization.resume": "Resumed organization",
  "organization.delete": "Deleted organization",
  "organization.restore": "Restored organization",
  "session.end_all": "Ended all sessions",
  "member.add": "Added member",
  "member.update": "Changed member",
  "member.remove": "Removed member",
  "member.accept": "Accepted membership",
  "invitation.create": "Created invitation",
  "invitation.revoke": "Revoked invitation",
  "invitation.redeem": "Redeemed invitation",
  "recovery_link.create": "Created recovery link",
  "recovery_link.revoke": "Revoked recovery link",
  "recovery_link.redeem": "Redeemed recovery link",
  "passkey.register": "Registered passkey",
  "passkey.rename": "Renamed passkey",
  "passkey.remove": "Removed passkey",
  "permission_set.create": "Created permission set",
  "permission_set.update": "Changed permission set",
  "permission_set.delete": "Deleted permission set",
  "trust_rule.create": "Created trust rule",
  "trust_rule.update": "Changed trust rule",
  "trust_rule.delete": "Deleted trust rule",
  "trust_rule.exchange": "Exchanged token of a workload",
  "portal.update": "Changed portal",
  "portal_session.create": "Created portal session",
  "portal_session.open": "Opened portal session",
  "portal_session.close": "Closed portal session",
  "portal_session.revoke": "Revoked portal session",
};

/** Why audited actions were refused. */
const DENIAL_TEXTS: Record<AuditReason, string> = {
  permission_required: "lacks the permission",
  cannot_manage: "the key cannot manage Claviger",
  exceeds_permissions: "tried to grant permissions that they do not hold",
  exceeds_expiry: "tried to set an expiry after that of their own key",
  exceeds_addresses: "tried to allow IP addresses that their own key does not allow",
  session_cannot_create_session: "tried to create a session with a session",
  session_cannot_create_token: "tried to create a token with a session",
  api_key_required: "tried to create a token or a portal session without an API key",
  metered_key_not_exchangeable: "tried to create a token with a key that has limits",
  restricted_key_not_exchangeable: "tried to create a token with a key that has an IP allowlist",
  platform_key_not_exchangeable: "tried to create a token with a key of the platform",
  session_cannot_rotate_own_key: "tried to rotate the key of their own session",
  fresh_sign_in_required: "the sign-in of the session was too long ago",
  platform_only: "only platform callers can",
  last_administrator: "no member with all permissions would remain",
  invalid_api_key: "the key is unknown",
  organization_suspended: "the organization is suspended",
  key_disabled: "the key is disabled",
  key_not_yet_valid: "the key is not yet valid",
  key_expired: "the key has expired",
  address_not_allowed: "the IP address is not allowed",
  insufficient_permissions: "the key lacks a permission",
  usage_exceeded: "the key is used up",
  rate_limited: "the key is rate limited",
  not_exchangeable: "tried to create a session or token with a credential that cannot be exchanged",
  others: "and similar ones",
};

/** Why an audited action was refused, or which secret an alarm is about; null: neither. */
export function eventDetail({ reason, permission, secret_start }: AuditEvent): string | null {
  if (secret_start !== null) return `a secret that begins with ${secret_start}`;
  if (reason === null) return null;
  return permission === null ? DENIAL_TEXTS[reason] : `${DENIAL_TEXTS[reason]} ${permission}`;
}
