// A key as a person fills it in: settings of a key → form → what the API is sent, and what changed in words.

import type { Key, Schemas } from "../api/client.ts";
import { shortest } from "./permissions.ts";
import * as time from "./time.ts";

/** What stands in the form. Numbers are texts while they are being typed. */
export interface Draft {
  name: string;
  prefix: string;
  externalId: string;
  permissions: string[];
  sets: string[];
  /** As `<input type="datetime-local">`; empty: never. */
  expires: string;
  notBefore: string;
  /** One network a line. */
  addresses: string;
  /** A JSON object, or empty. */
  metadata: string;
  /** Uses that are left; empty: any number. */
  remaining: string;
  refill: Pace;
  rate: Pace;
}

/** So many each so many units; an empty count: none. */
export interface Pace {
  count: string;
  each: string;
  unit: time.Unit;
}

const NO_PACE: Pace = { count: "", each: "1", unit: "minute" };

export const EMPTY: Draft = {
  name: "",
  prefix: "",
  externalId: "",
  permissions: [],
  sets: [],
  expires: "",
  notBefore: "",
  addresses: "",
  metadata: "",
  remaining: "",
  refill: { ...NO_PACE, unit: "day" },
  rate: NO_PACE,
};

function pace(count: number | null, millis: number | null, none: Pace): Pace {
  if (count === null || millis === null) return none;
  const { count: each, unit } = time.inUnits(millis);
  return { count: String(count), each: String(each), unit };
}

/** The form for a key that there is. */
export function draftOf(key: Key): Draft {
  return {
    name: key.name,
    prefix: key.prefix,
    externalId: key.external_id ?? "",
    permissions: key.permissions,
    sets: key.permission_sets,
    expires: time.toField(key.expires_at),
    notBefore: time.toField(key.not_before),
    addresses: (key.allowed_addresses ?? []).join("\n"),
    metadata: key.metadata === null ? "" : JSON.stringify(key.metadata, null, 2),
    remaining: key.remaining === null ? "" : String(key.remaining),
    refill: pace(key.refill_amount, key.refill_interval, EMPTY.refill),
    rate: pace(key.rate_limit_max, key.rate_limit_window, EMPTY.rate),
  };
}

export type Wrong = Record<string, string>;

/** What is wrong with the form, by the API's names of the fields. `from` is what the key was, if there is one. */
export function check(draft: Draft, from: Draft = EMPTY): Wrong {
  const wrong: Wrong = {};
  if (from.remaining !== "" && draft.remaining === "" && draft.refill.count !== "") {
    wrong.remaining = "Clear the refill, too: it fills up the uses that are left.";
  }
  // A key from sign-up has no name, and need not get one to be changed.
  const isNameless = from !== EMPTY && from.name === "";
  if (draft.name.trim() === "" && !isNameless) wrong.name = "Give the key a name, so that others know what it is for.";
  if (draft.prefix !== "" && !/^[A-Za-z0-9_-]{1,32}$/.test(draft.prefix)) {
    wrong.prefix = "Letters, digits, _ and -, at most 32.";
  }
  if (draft.remaining !== "" && !isWhole(draft.remaining, 0)) wrong.remaining = "A whole number, 0 or more.";
  for (const [name, pace] of [
    ["refill_amount", draft.refill],
    ["rate_limit_max", draft.rate],
  ] as const) {
    if (pace.count === "") continue;
    if (!isWhole(pace.count, 1)) wrong[name] = "A whole number, 1 or more.";
    else if (!(Number(pace.each) > 0)) wrong[name] = "The time must be more than 0.";
  }
  const network = networksOf(draft).find((text) => !isNetwork(text));
  if (network !== undefined) wrong.allowed_addresses = `${network} is no address or network like 203.0.113.0/24.`;
  if (draft.metadata.trim() !== "" && object(draft.metadata) === null)
    wrong.metadata = 'A JSON object like {"plan": "pro"}, with numbers of at most 15 digits.';
  if (draft.expires !== "" && draft.notBefore !== "" && draft.expires <= draft.notBefore) {
    wrong.expires_at = "The key would have expired before it becomes valid.";
  }
  return wrong;
}

function isWhole(text: string, least: number): boolean {
  return /^\d+$/.test(text) && Number(text) >= least && Number.isSafeInteger(Number(text));
}

/** The object that a text is; null where it is none, or has numbers that would change on their way. */
function object(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
    return isObject && isExact(value) ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

/** Whether JavaScript holds all numbers in it as they were written: the service keeps more digits than it does. */
export function isExact(value: unknown): boolean {
  if (typeof value === "number") return Number.isInteger(value) ? Number.isSafeInteger(value) : Number.isFinite(value);
  return typeof value !== "object" || value === null || Object.values(value).every(isExact);
}

/** Whether a text looks like an address, with or without the length of a prefix. The service knows better. */
function isNetwork(text: string): boolean {
  const [address = "", length = "0"] = text.split("/");
  if (!/^\d{1,3}$/.test(length) || text.split("/").length > 2) return false;
  const octets = address.split(".");
  const isFour = octets.length === 4 && octets.every((octet) => /^\d{1,3}$/.test(octet) && Number(octet) < 256);
  if (isFour) return Number(length) <= 32;
  return /^[0-9A-Fa-f:.]+$/.test(address) && address.includes(":") && Number(length) <= 128;
}

/** The networks in a field: one a line, or with commas or spaces between. */
export function networksOf(draft: Draft): string[] {
  return draft.addresses.split(/[\s,]+/).filter((text) => text !== "");
}

/** All settings as the API has them: null where there is none. */
function settings(draft: Draft) {
  const some = (text: string) => (text.trim() === "" ? null : text.trim());
  const number = (text: string) => (text === "" ? null : Number(text));
  const millis = (pace: Pace) => (pace.count === "" ? null : time.inMillis(Number(pace.each), pace.unit));
  const networks = networksOf(draft);
  return {
    name: draft.name.trim(),
    external_id: some(draft.externalId),
    permissions: draft.permissions,
    permission_sets: draft.sets,
    not_before: time.fromField(draft.notBefore),
    expires_at: time.fromField(draft.expires),
    allowed_addresses: networks.length === 0 ? null : networks,
    metadata: draft.metadata.trim() === "" ? null : object(draft.metadata),
    remaining: number(draft.remaining),
    refill_amount: number(draft.refill.count),
    refill_interval: millis(draft.refill),
    rate_limit_max: number(draft.rate.count),
    rate_limit_window: millis(draft.rate),
  };
}

export type Settings = ReturnType<typeof settings>;
type Update = Schemas["UpdateApiKey"];

/** The body that makes this key. What is not set is left out: limits are for administrators, also when they say "none". */
export function toCreate(draft: Draft): Schemas["CreateApiKey"] {
  const given = Object.entries({ ...settings(draft), prefix: draft.prefix || null }).filter(
    ([, value]) => value !== null,
  );
  return Object.fromEntries(given) as Schemas["CreateApiKey"];
}

/** Pairs that are only ever changed together. */
const PAIRS: Record<string, keyof Settings> = {
  refill_amount: "refill_interval",
  refill_interval: "refill_amount",
  rate_limit_max: "rate_limit_window",
  rate_limit_window: "rate_limit_max",
};

/** The body that makes this key out of that one: only what differs. */
export function toUpdate(from: Draft, to: Draft): Update {
  const [before, after] = [settings(from), settings(to)];
  const differing = (Object.keys(after) as (keyof Settings)[]).filter((name) => !same(before[name], after[name]));
  const paired = differing.flatMap((name) => PAIRS[name] ?? []);
  return Object.fromEntries([...differing, ...paired].map((name) => [name, after[name]])) as Update;
}

function same(left: unknown, right: unknown): boolean {
  return JSON.stringify(left) === JSON.stringify(right);
}

/** What a person has changed, on top of what somebody else has made of the key meanwhile. */
export function rebase(draft: Draft, from: Draft, onto: Draft): Draft {
  const changed = Object.entries(draft).filter(([name, value]) => !same(value, from[name as keyof Draft]));
  return { ...onto, ...Object.fromEntries(changed) };
}

interface Difference {
  what: string;
  before: string;
  after: string;
}

/** What differs, for a person to look at before it is saved. */
export function differences(from: Draft, to: Draft, setName: (id: string) => string): Difference[] {
  const words = (draft: Draft): [string, string][] => {
    const all = settings(draft);
    return [
      ["Name", all.name || "none"],
      ["Permissions", all.permissions.join(", ") || "none"],
      ["Permission sets", all.permission_sets.map(setName).join(", ") || "none"],
      ["Expires", all.expires_at === null ? "never" : time.exact(all.expires_at)],
      ["Valid from", all.not_before === null ? "always" : time.exact(all.not_before)],
      ["Uses left", all.remaining === null ? "any number" : all.remaining.toLocaleString("en")],
      ["Refill", paceWords(draft.refill, "every")],
      ["Rate limit", paceWords(draft.rate, "per")],
      ["Addresses", all.allowed_addresses?.join(", ") ?? "any"],
      ["External id", all.external_id ?? "none"],
      ["Metadata", all.metadata === null ? "none" : JSON.stringify(all.metadata)],
    ];
  };
  const after = words(to);
  return words(from).flatMap(([what, before], index) => {
    const now = after[index]?.[1] ?? "";
    return before === now ? [] : [{ what, before, after: now }];
  });
}

/** "100 per minute". */
export function paceWords(pace: Pace, per: "per" | "every"): string {
  if (pace.count === "") return "none";
  if (!isWhole(pace.count, 1) || !(Number(pace.each) > 0)) return "…";
  return `${Number(pace.count).toLocaleString("en")} ${per} ${time.each(time.inMillis(Number(pace.each), pace.unit))}`;
}

/** All that the key may do: its own permissions and those of its sets. */
export function granted(draft: Draft, sets: readonly { id: string; permissions: string[] }[]): string[] {
  const ofSets = sets.filter((set) => draft.sets.includes(set.id)).flatMap((set) => set.permissions);
  return shortest([...draft.permissions, ...ofSets]);
}
