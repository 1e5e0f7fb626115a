// Verifications over time: periods, totals, and the comparison with the period before.

import type { Usage, VerdictCode } from "../api/client.ts";
import { DAY, type Granularity, HOUR } from "./time.ts";

/** A number of days (UTC) up to now, today included. So its counts by hour, by day and of single keys add up. */
export interface UsagePeriod {
  label: string;
  days: number;
  by: Granularity;
}

/** The periods that are compared with the one before, and for which keys are ranked. */
export const PERIODS: UsagePeriod[] = [
  { label: "Today", days: 1, by: "hour" },
  { label: "Last 7 days", days: 7, by: "hour" },
  { label: "Last 30 days", days: 30, by: "day" },
];

/** A longer period, without a comparison: counts are kept for 90 days by default. */
export const LONGEST_PERIOD: UsagePeriod = { label: "Last 90 days", days: 90, by: "day" };

export const DEFAULT_PERIOD = { label: "Last 7 days", days: 7, by: "hour" } satisfies UsagePeriod;

/** The start of a period, and the same hours as many days earlier. They change once an hour. */
export function usageRange(now: number, { days }: UsagePeriod) {
  const from = Math.floor(now / DAY) * DAY - (days - 1) * DAY;
  const until = Math.floor(now / HOUR) * HOUR + HOUR;
  const text = (at: number) => new Date(at).toISOString();
  return { from: text(from), beforeFrom: text(from - days * DAY), beforeUntil: text(until - days * DAY) };
}

/** "in the 7 days before", "yesterday until 15:00 UTC". */
export function periodBefore(now: number, { days }: UsagePeriod): string {
  if (days > 1) return `in the ${days} days before`;
  const hour = Math.floor((now % DAY) / HOUR) + 1;
  return `yesterday until ${String(hour).padStart(2, "0")}:00 UTC`;
}

export interface Totals {
  valid: number;
  refused: number;
}

export function totalsOf(usage: Usage): Totals {
  const all = Object.values(usage.total).reduce((sum, count) => sum + Number(count), 0);
  const valid = Number(usage.total.VALID ?? 0);
  return { valid, refused: all - valid };
}

/** The percentage of refused verifications; null: there were none at all. */
export function refusedShare({ valid, refused }: Totals): number | null {
  return valid + refused === 0 ? null : (100 * refused) / (valid + refused);
}

/** "0.4%", "12%". */
export function formatPercent(percent: number): string {
  return `${percent.toFixed(percent < 10 && !Number.isInteger(percent) ? 1 : 0)}%`;
}

/** "12% more than in the 7 days before (1,234)". */
export function compareCounts(now: number, earlier: number, before: string): string {
  if (earlier === 0) return `none ${before}`;
  if (now === earlier) return `as many as ${before}`;
  const counted = `${before} (${earlier.toLocaleString("en")})`;
  const ratio = now / earlier;
  if (ratio >= 10) return `${Math.round(ratio).toLocaleString("en")} times as many as ${counted}`;
  return `${formatPercent(Math.abs(ratio - 1) * 100)} ${ratio > 1 ? "more" : "fewer"} than ${counted}`;
}

/** The reasons of refusals, the most frequent first. */
export function refusalsOf(usage: Usage): [VerdictCode, number][] {
  const counts = Object.entries(usage.total).map(([code, count]) => [code as VerdictCode, Number(count)] as const);
  const refusals = counts.filter(([code, count]) => code !== "VALID" && count > 0);
  return refusals.map(([code, count]): [VerdictCode, number] => [code, count]).sort((one, other) => other[1] - one[1]);
}
