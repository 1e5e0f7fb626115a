// Times and durations in human words. Times of the API are RFC 3339 in UTC; durations are milliseconds.

export const SECOND = 1_000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** The units that people count durations in. */
export const UNITS = [
  ["second", SECOND],
  ["minute", MINUTE],
  ["hour", HOUR],
  ["day", DAY],
] as const;

export type Unit = (typeof UNITS)[number][0];

/** Units with their length, and from which distance on they are exact enough. */
const RELATIVE: [Intl.RelativeTimeFormatUnit, number, number][] = [
  ["year", 365 * DAY, 2 * 365 * DAY],
  ["month", 30 * DAY, 60 * DAY],
  ["day", DAY, DAY],
  ["hour", HOUR, HOUR],
  ["minute", MINUTE, MINUTE],
];

const relativeFormat = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const exactFormat = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
const dayFormat = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium" });
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;

/** "3 minutes ago", "in 2 days", "just now". */
export function relative(at: string, now: number): string {
  const distance = Date.parse(at) - now;
  const unit = RELATIVE.find(([, , from]) => Math.abs(distance) >= from);
  if (unit === undefined) return distance > 5 * SECOND ? "in less than a minute" : "just now";
  return relativeFormat.format(Math.round(distance / unit[1]), unit[0]);
}

/** The moment in the reader's own time zone, which is named. */
export function exact(at: string): string {
  return `${exactFormat.format(new Date(at))} (${zone})`;
}

/** The day in the reader's own time zone. */
export function day(at: string): string {
  return dayFormat.format(new Date(at));
}

/** A duration in the largest unit that divides it: 86400000 is 1 day. */
export function inUnits(millis: number): { count: number; unit: Unit } {
  const whole = UNITS.toReversed().find(([, length]) => millis % length === 0 && millis >= length);
  const [unit, length] = whole ?? ["second", SECOND];
  return { count: millis / length, unit };
}

/** Milliseconds of so many units. */
export function inMillis(count: number, unit: Unit): number {
  return Math.round(count * (UNITS.find(([name]) => name === unit)?.[1] ?? SECOND));
}

/** "1 day", "90 minutes", "0.5 seconds". */
export function duration(millis: number): string {
  const { count, unit } = inUnits(millis);
  return `${count.toLocaleString("en")} ${unit}${count === 1 ? "" : "s"}`;
}

/** "minute", "10 seconds": what comes after "every" or "per". */
export function each(millis: number): string {
  const { count, unit } = inUnits(millis);
  return count === 1 ? unit : duration(millis);
}

/** A moment as `<input type="datetime-local">` wants it: in the reader's own zone, to the minute. */
export function toField(at: string | null): string {
  if (at === null) return "";
  const date = new Date(at);
  return new Date(date.getTime() - date.getTimezoneOffset() * MINUTE).toISOString().slice(0, 16);
}

/** What stands in such a field, as the API wants it; null where it is empty or no moment. */
export function fromField(text: string): string | null {
  const date = new Date(text);
  return text === "" || Number.isNaN(date.getTime()) ? null : date.toISOString();
}

export type Step = "hour" | "day";

/** The beginning of a series of so many milliseconds until now: on a step, so that it stays the same for one. */
export function beginning(now: number, by: Step, length: number): string {
  const step = by === "hour" ? HOUR : DAY;
  return new Date(Math.floor((now - length) / step) * step + step).toISOString();
}
