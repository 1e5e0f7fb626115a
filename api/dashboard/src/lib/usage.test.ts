// Periods of usage, and their comparison.

import { expect, test } from "vitest";
import type { Usage } from "../api/client.ts";
import {
  compareCounts,
  DEFAULT_PERIOD,
  periodBefore,
  PERIODS,
  refusalsOf,
  refusedShare,
  totalsOf,
  usageRange,
} from "./usage.ts";

const NOW = Date.parse("2026-11-21T14:20:00Z");

test("a period has whole days, and is compared with the same hours before", () => {
  expect(PERIODS).toContainEqual(DEFAULT_PERIOD);
  expect(PERIODS.map((period) => usageRange(NOW, period))).toEqual([
    {
      from: "2026-11-21T00:00:00.000Z",
      beforeFrom: "2026-11-20T00:00:00.000Z",
      beforeUntil: "2026-11-20T15:00:00.000Z",
    },
    {
      from: "2026-11-15T00:00:00.000Z",
      beforeFrom: "2026-11-08T00:00:00.000Z",
      beforeUntil: "2026-11-14T15:00:00.000Z",
    },
    {
      from: "2026-10-23T00:00:00.000Z",
      beforeFrom: "2026-09-23T00:00:00.000Z",
      beforeUntil: "2026-10-22T15:00:00.000Z",
    },
  ]);
  expect(PERIODS.map((period) => periodBefore(NOW, period))).toEqual([
    "yesterday until 15:00 UTC",
    "in the 7 days before",
    "in the 30 days before",
  ]);
});

test("the comparison says how many more or fewer", () => {
  for (const [now, earlier, expected] of [
    [112, 100, "12% more than before (100)"],
    [999, 1_000, "0.1% fewer than before (1,000)"],
    [0, 1_234, "100% fewer than before (1,234)"],
    [5, 5, "as many as before"],
    [5, 0, "none before"],
    [0, 0, "none before"],
    [12_345, 10, "1,235 times as many as before (10)"],
    [99, 10, "890% more than before (10)"],
  ] as const) {
    expect(compareCounts(now, earlier, "before")).toBe(expected);
  }
});

test("totals and refusals are those of all periods", () => {
  const total = { VALID: 90, RATE_LIMITED: 3, KEY_EXPIRED: 7, KEY_DISABLED: 0 };
  const usage = { total } as unknown as Usage;
  expect(totalsOf(usage)).toEqual({ valid: 90, refused: 10 });
  expect(refusedShare(totalsOf(usage))).toBe(10);
  expect(refusedShare({ valid: 0, refused: 0 })).toBeNull();
  expect(refusalsOf(usage)).toEqual([
    ["KEY_EXPIRED", 7],
    ["RATE_LIMITED", 3],
  ]);
});
