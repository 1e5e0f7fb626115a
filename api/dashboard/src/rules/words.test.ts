// Times, checks and files in human words.

import { expect, test } from "vitest";
import { type AuditEvent, nextCursor, Problem } from "../api/client.ts";
import { toCsv } from "./csv.ts";
import { conditions, statusOf } from "./status.ts";
import { duration, each, inMillis, inUnits, relative } from "./time.ts";
import { explain } from "./words.ts";

const NOW = Date.parse("2026-11-21T12:00:00Z");

test("moments are told relative to now", () => {
  for (const [at, expected] of [
    ["2026-11-21T11:57:00Z", "3 minutes ago"],
    ["2026-11-21T11:59:58Z", "just now"],
    ["2026-11-21T12:00:30Z", "in less than a minute"],
    ["2026-12-03T11:59:59Z", "in 12 days"],
    ["2026-11-20T12:00:00Z", "yesterday"],
    ["2026-12-21T12:00:00Z", "in 30 days"],
    ["2027-02-21T12:00:00Z", "in 3 months"],
    ["2024-11-20T12:00:00Z", "2 years ago"],
  ] as const) {
    expect(relative(at, NOW), at).toBe(expected);
  }
});

test("durations have the unit that divides them", () => {
  expect(inUnits(86_400_000)).toEqual({ count: 1, unit: "day" });
  expect(inUnits(5_400_000)).toEqual({ count: 90, unit: "minute" });
  expect(inUnits(500)).toEqual({ count: 0.5, unit: "second" });
  expect(inMillis(0.5, "second")).toBe(500);
  expect([each(60_000), each(120_000), duration(60_000)]).toEqual(["minute", "2 minutes", "1 minute"]);
});

test("the first status that holds is the one", () => {
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
  expect(conditions("nonsense", NOW)).toEqual({});
});

test("problems are told as what one can do", () => {
  expect(explain(new Problem(0, ""))).toContain("did not answer");
  expect(explain(new Problem(400, "x", { expires_at: "must be in the future" }))).toBe(
    "Expires at must be in the future.",
  );
  expect(explain(new Problem(403, "The permission org:admin is needed for this"))).toContain(
    "This needs the permission org:admin",
  );
  expect(explain(new TypeError("x"))).not.toContain("x went");
});

test("a cursor is found in its link, and nowhere else", () => {
  expect(nextCursor('</orgs/1/api_keys?limit=2&cursor=a%2Bb>; rel="next"')).toBe("a+b");
  expect(nextCursor(null)).toBeNull();
  expect(nextCursor('</x?cursor=a>; rel="prev"')).toBeNull();
});

test("a file for a spreadsheet holds no formula", () => {
  const event = {
    seq: 1,
    at: "t",
    request_id: "=1+1",
    reason: 'a "b", c',
    actor: { type: "key" },
  } as unknown as AuditEvent;
  const line = toCsv([event]).split("\r\n")[1];
  expect(line).toBe(`1,t,,,"a ""b"", c",,,key,,,,,,'=1+1,`);
});
