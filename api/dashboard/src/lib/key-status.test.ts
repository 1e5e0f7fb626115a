// The status of a key.

import { expect, test } from "vitest";
import { statusOf, statusQuery } from "./key-status.ts";

const NOW = Date.parse("2026-11-21T12:00:00Z");

test("the status is the first that applies", () => {
  const key = { deleted_at: null, enabled: true, expires_at: null, not_before: null, remaining: null };
  const of = (changes: object) => statusOf({ ...key, previous_secret_expires_at: null, ...changes } as never, NOW);
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

test("an unknown status in the address lists all keys", () => {
  expect(statusQuery("nonsense", NOW)).toEqual({});
});
