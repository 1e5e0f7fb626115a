// Formatting of times and durations.

import { expect, test } from "vitest";
import { formatDuration, formatInterval, formatRelative, inUnits, toMillis } from "./time.ts";

const NOW = Date.parse("2026-11-21T12:00:00Z");

test("relative times have the unit that fits", () => {
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
    expect(formatRelative(at, NOW), at).toBe(expected);
  }
});

test("durations have the largest unit that divides them", () => {
  expect(inUnits(86_400_000)).toEqual({ count: 1, unit: "day" });
  expect(inUnits(5_400_000)).toEqual({ count: 90, unit: "minute" });
  expect(inUnits(500)).toEqual({ count: 0.5, unit: "second" });
  expect(toMillis(0.5, "second")).toBe(500);
  expect([formatInterval(60_000), formatInterval(120_000), formatDuration(60_000)]).toEqual([
    "minute",
    "2 minutes",
    "1 minute",
  ]);
});
