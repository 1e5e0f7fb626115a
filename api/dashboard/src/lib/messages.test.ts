// Texts of errors: decided by the reason, never by the message.

import { expect, test } from "vitest";
import { ApiError, type AuditEvent } from "../api/client.ts";
import { canRetry, errorMessage, eventDetail, isTransient } from "./messages.ts";

test("a reason with a text of its own gets it, whatever the message says", () => {
  expect(errorMessage(new ApiError("no_answer", ""))).toContain("did not answer");
  expect(errorMessage(new ApiError("not_configured", "x"))).toContain("CLAVIGER_SIGNING_KEY_FILE");
  expect(errorMessage(new ApiError("unavailable", "The service has no signing key"))).toContain("temporarily");
  expect(errorMessage(new ApiError("version_mismatch", "x"))).toContain("changed in the meantime");
});

test("other reasons show the message of the service", () => {
  expect(errorMessage(new ApiError("permission_required", "The permission org:admin is required"))).toBe(
    "The permission org:admin is required.",
  );
  expect(errorMessage(new ApiError("from_a_newer_service" as never, "Something new"))).toBe("Something new.");
});

test("an audit event says what was missing, or which secret was used", () => {
  const nothing = { reason: null, permission: "api_keys:write", secret_start: null };
  const detail = (event: object) => eventDetail({ ...nothing, ...event } as AuditEvent);
  expect(detail({})).toBe(null);
  expect(detail({ reason: "permission_required" })).toBe("lacks the permission api_keys:write");
  expect(detail({ reason: "last_administrator", permission: null })).toContain("all permissions");
  expect(detail({ secret_start: "cvg_4bCd5E" })).toBe("a secret that begins with cvg_4bCd5E");
});

test("invalid fields are named", () => {
  const error = new ApiError("invalid_fields", "x", { expires_at: "must be in the future" });
  expect(errorMessage(error)).toBe("Expires at must be in the future.");
});

test("a broken rule asks for what the form has", () => {
  const wrong = (text: string) => errorMessage(new ApiError("key_policy_violated", "x", { "key_policy.rule": text }));
  expect(wrong("a key must expire; set expires_at")).toBe("Rule rule: a key must expire; set “Expires”.");
  expect(wrong("needs an IP allowlist; set allowed_addresses")).toContain("set “Allowed IP addresses”.");
  expect(wrong("set can_manage to false")).toContain("set the purpose “For your own API”.");
});

test("an exception of the page does not show its message", () => {
  expect(errorMessage(new TypeError("x is undefined"))).not.toContain("undefined");
});

test("only transient errors are retried, and denied requests offer no retry", () => {
  expect(
    ["no_answer", "unavailable", "internal"].map((reason) => isTransient(new ApiError(reason as never, ""))),
  ).toEqual([true, true, true]);
  expect(isTransient(new ApiError("not_found", ""))).toBe(false);
  expect(isTransient(new TypeError("x"))).toBe(false);
  expect(canRetry(new ApiError("permission_required", ""))).toBe(false);
  expect(canRetry(new ApiError("internal", ""))).toBe(true);
});
