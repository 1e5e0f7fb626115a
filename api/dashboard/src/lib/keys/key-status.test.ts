// The status of a key.

import { expect, test } from "vitest";
import { isExpiringSoon, statusOf, statusQuery } from "./key-status.ts";

const NOW = Date.parse("2026-11-21T12:00:00Z");
const KEY = {
  created_at: "2026-01-01T00:00:00Z",
  deleted_at: null,
  enabled: true,
  expires_at: null,
  not_before: null,
  remaining: null,
  previous_secret_expires_at: null,
};

test("the status is the first that applies", () => {
  const of = (changes: object) => statusOf({ ...KEY, ...changes } as never, NOW);
  const [past, soon, later] = ["2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", "2027-12-01T00:00:00Z"];
  expect(of({})).toBe("active");
  expect(of({ expires_at: later })).toBe("active");
  expect(of({ expires_at: soon })).toBe("expiring soon");
  expect(of({ expires_at: soon, previous_secret_expires_at: soon })).toBe("rotating");
  expect(of({ previous_secret_expires_at: past })).toBe("active");
  expect(of({ previous_secret_expires_at: soon, remaining: 0 })).toBe("used up");
  expect(of({ remaining: 0, not_before: soon })).toBe("not yet valid");
  expect(of({ not_before: past, expires_at: past })).toBe("expired");
  expect(of({ enabled: false, expires_at: past })).toBe("disabled");
  expect(of({ enabled: false, deleted_at: past })).toBe("revoked");
});

test("expiring soon is relative to the lifetime of a key, and at most 30 days", () => {
  const isSoon = (created_at: string, expires_at: string | null, not_before: string | null = null) =>
    isExpiringSoon({ ...KEY, created_at, expires_at, not_before } as never, NOW);
  expect(isSoon("2026-11-21T11:59:00Z", "2026-11-28T12:00:00Z"), "new, for 7 days").toBe(false);
  expect(isSoon("2026-11-15T12:00:00Z", "2026-11-22T12:00:00Z"), "the last of 7 days").toBe(true);
  expect(isSoon("2026-11-21T00:00:00Z", "2026-12-21T00:00:00Z"), "new, for 30 days").toBe(false);
  expect(isSoon("2020-01-01T00:00:00Z", "2026-12-20T00:00:00Z"), "29 days of 7 years").toBe(true);
  expect(isSoon("2020-01-01T00:00:00Z", "2026-12-23T00:00:00Z"), "32 days of 7 years").toBe(false);
  expect(isSoon("2020-01-01T00:00:00Z", "2026-11-28T12:00:00Z", "2026-11-21T12:00:00Z"), "valid from now").toBe(false);
  expect(isSoon("2020-01-01T00:00:00Z", null), "never").toBe(false);
});

test("keys unused for 30 days are at least as old", () => {
  const { last_used_before, created_before } = statusQuery("idle", NOW);
  expect(last_used_before).toBe("2026-10-22T12:00:00.000Z");
  expect(created_before).toBe(last_used_before);
});

test("an unknown status in the address lists all keys", () => {
  expect(statusQuery("nonsense", NOW)).toEqual({});
});
