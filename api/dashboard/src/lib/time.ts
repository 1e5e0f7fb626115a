// Formatting of times and durations. Times of the API are RFC 3339 in UTC; durations are milliseconds.

export const SECOND = 1_000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** Units of durations, in ms. */
export const UNITS = [
  ["second", SECOND],
  ["minute", MINUTE],
  ["hour", HOUR],
  ["day", DAY],
] as const;

export type Unit = (typeof UNITS)[number][0];

/** Units of relative times: name, length in ms, and the distance in ms from which on the unit is used. */
const RELATIVE_UNITS: [Intl.RelativeTimeFormatUnit, number, number][] = [
  ["year", 365 * DAY, 2 * 365 * DAY],
  ["month", 30 * DAY, 60 * DAY],
  ["day", DAY, DAY],
  ["hour", HOUR, HOUR],
  ["minute", MINUTE, MINUTE],
];

const relativeFormat = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const exactFormat = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
const SHORT = { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" } as const;
const shortFormat = new Intl.DateTimeFormat("en-GB", SHORT);
const shortFormatWithYear = new Intl.DateTimeFormat("en-GB", { ...SHORT, year: "numeric" });
const dayFormat = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium" });
const timeZone = Intl.DateTimeFormat().resolvedOptions().timeZone;

/** "3 minutes ago", "in 2 days", "just now". */
export function formatRelative(at: string, now: number): string {
  const distance = Date.parse(at) - now;
  const unit = RELATIVE_UNITS.find(([, , from]) => Math.abs(distance) >= from);
  if (unit === undefined) return distance > 5 * SECOND ? "in less than a minute" : "just now";
  return relativeFormat.format(Math.round(distance / unit[1]), unit[0]);
}

/** Date and time in the browser's time zone, with the name of the zone. */
export function formatExact(at: string): string {
  return `${exactFormat.format(new Date(at))} (${timeZone})`;
}

/** "21 Nov, 14:00:07" in the browser's time zone, with the year if it is not this one. */
export function formatShort(at: string, now: number = Date.now()): string {
  const date = new Date(at);
  const isThisYear = date.getFullYear() === new Date(now).getFullYear();
  return (isThisYear ? shortFormat : shortFormatWithYear).format(date);
}

/** The date in the browser's time zone. */
export function formatDay(at: string): string {
  return dayFormat.format(new Date(at));
}

/** A duration in the largest unit that divides it: 86400000 is 1 day. */
export function inUnits(millis: number): { count: number; unit: Unit } {
  const divisor = UNITS.toReversed().find(([, length]) => millis % length === 0 && millis >= length);
  const [unit, length] = divisor ?? ["second", SECOND];
  return { count: millis / length, unit };
}

/** Milliseconds of a number of units. */
export function toMillis(count: number, unit: Unit): number {
  return Math.round(count * (UNITS.find(([name]) => name === unit)?.[1] ?? SECOND));
}

/** "1 day", "90 minutes", "0.5 seconds". */
export function formatDuration(millis: number): string {
  const { count, unit } = inUnits(millis);
  return `${count.toLocaleString("en")} ${unit}${count === 1 ? "" : "s"}`;
}

/** "minute", "10 seconds": what follows "every" or "per". */
export function formatInterval(millis: number): string {
  const { count, unit } = inUnits(millis);
  return count === 1 ? unit : formatDuration(millis);
}

/** The value of `<input type="datetime-local">` for a time: in the browser's time zone, to the minute; null is empty. */
export function toDateTimeInput(at: string | null): string {
  if (at === null) return "";
  const date = new Date(at);
  return new Date(date.getTime() - date.getTimezoneOffset() * MINUTE).toISOString().slice(0, 16);
}

/** The time in such an input, as the API has it; null: empty or invalid. */
export function fromDateTimeInput(text: string): string | null {
  const date = new Date(text);
  return text === "" || Number.isNaN(date.getTime()) ? null : date.toISOString();
}

/** The length of the periods of a usage series. */
export type Granularity = "hour" | "day";

/** The start of a usage series of this length in ms until now, on the start of a period, so that it changes once a period. */
export function periodStart(now: number, by: Granularity, length: number): string {
  const period = by === "hour" ? HOUR : DAY;
  return new Date(Math.floor((now - length) / period) * period + period).toISOString();
}

/** "21 Nov, 14:00" or "21 Nov", in UTC, in which periods start. */
export function formatPeriod(at: string, by: Granularity): string {
  const options =
    by === "hour"
      ? ({ day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" } as const)
      : ({ day: "numeric", month: "short" } as const);
  return new Intl.DateTimeFormat("en-GB", { ...options, timeZone: "UTC" }).format(new Date(at));
}
