// The values of the key form: parsing, checking and formatting. Values are texts while they are being typed.

import * as time from "../time.ts";

/** A number of uses per interval. An empty count means none. */
export interface Rate {
  count: string;
  interval: string;
  unit: time.Unit;
}

/** The text of a time in a form; `none` if it is empty. */
export function formatTime(value: string, none: string): string {
  const at = time.fromDateTimeInput(value);
  return at === null ? none : time.formatExact(at);
}

/** Null: empty. */
export function toNumber(text: string): number | null {
  return text === "" ? null : Number(text);
}

/** The interval in ms; null: no rate. */
export function toInterval({ count, interval, unit }: Rate): number | null {
  return count === "" ? null : time.toMillis(Number(interval), unit);
}

/** The rate of two fields of the API: a number, and an interval in ms. */
export function toRate(count: number | null, millis: number | null, defaultUnit: time.Unit): Rate {
  if (count === null || millis === null) return { count: "", interval: "1", unit: defaultUnit };
  const { count: interval, unit } = time.inUnits(millis);
  return { count: String(count), interval: String(interval), unit };
}

/** What is wrong with a rate; undefined: nothing. */
export function validateRate({ count, interval }: Rate): string | undefined {
  if (count === "") return undefined;
  if (!isInteger(count, 1)) return "A whole number, 1 or more.";
  return Number(interval) > 0 ? undefined : "The time must be more than 0.";
}

/** "100 per minute"; "…" while it is incomplete. */
export function formatRate(rate: Rate, preposition: "per" | "every"): string {
  if (rate.count === "") return "none";
  if (validateRate(rate) !== undefined) return "…";
  const millis = time.toMillis(Number(rate.interval), rate.unit);
  return `${Number(rate.count).toLocaleString("en")} ${preposition} ${time.formatInterval(millis)}`;
}

/** Whether a text is a whole number of at least `min` that JavaScript represents exactly. */
export function isInteger(text: string, min: number): boolean {
  return /^\d+$/.test(text) && Number(text) >= min && Number.isSafeInteger(Number(text));
}

/** The JSON object in a text; null if it is none, or has numbers that JavaScript would change. */
export function parseObject(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
    return isObject && isExact(value) ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

/** Whether JavaScript represents all numbers in a value exactly. The service stores more digits than JavaScript does. */
export function isExact(value: unknown): boolean {
  if (typeof value === "number") return Number.isInteger(value) ? Number.isSafeInteger(value) : Number.isFinite(value);
  return typeof value !== "object" || value === null || Object.values(value).every(isExact);
}

/** Whether a network such as `10.0.0.1/8` has bits beyond the length of its prefix, which the service refuses. */
export function hasBitsBeyondPrefix(text: string): boolean {
  const [address = "", length] = text.split("/");
  if (length === undefined) return false;
  const isIpv4 = !address.includes(":");
  const parts = isIpv4 ? address.split(".").map(Number) : ipv6Groups(address);
  const bits = parts.map((part) => part.toString(2).padStart(isIpv4 ? 8 : 16, "0")).join("");
  return bits.slice(Number(length)).includes("1");
}

/** The eight groups of an IPv6 address; none if it has another form, which the service checks. */
function ipv6Groups(address: string): number[] {
  const [before = [], after] = address.split("::").map((half) => (half === "" ? [] : half.split(":")));
  const missing = after === undefined ? 0 : 8 - before.length - after.length;
  const groups = [...before, ...Array.from({ length: Math.max(0, missing) }, () => "0"), ...(after ?? [])];
  return groups.length === 8 && groups.every((group) => /^[0-9A-Fa-f]{1,4}$/.test(group))
    ? groups.map((group) => Number.parseInt(group, 16))
    : [];
}

/** Whether a text looks like an IP address, with or without a prefix length. The service checks it completely. */
export function isNetwork(text: string): boolean {
  const [address = "", length = "0"] = text.split("/");
  if (!/^\d{1,3}$/.test(length) || text.split("/").length > 2) return false;
  const octets = address.split(".");
  const isIpv4 = octets.length === 4 && octets.every((octet) => /^\d{1,3}$/.test(octet) && Number(octet) < 256);
  if (isIpv4) return Number(length) <= 32;
  return /^[0-9A-Fa-f:.]+$/.test(address) && address.includes(":") && Number(length) <= 128;
}

/** The networks in a text, separated by line breaks, commas or spaces. */
export function parseNetworks(text: string): string[] {
  return text.split(/[\s,]+/).filter((part) => part !== "");
}
