// The settings of a key, one row each. The form, the list of changes, the page of a key and the request bodies are
// derived from these rows: a new optional text setting is one more row (`optionalText`).

import type { Key, Schemas } from "../../api/client.ts";
import {
  formatRate,
  formatTime,
  hasBitsBeyondPrefix,
  isExact,
  isInteger,
  isNetwork,
  parseNetworks,
  parseObject,
  type Rate,
  toInterval,
  toNumber,
  toRate,
  validateRate,
} from "./key-values.ts";
import { fromDateTimeInput, toDateTimeInput } from "../time.ts";

type Create = Schemas["CreateApiKeyRequest"];
type Update = Schemas["UpdateApiKeyRequest"];

/** Settings as requests have them; null: none. */
export type Settings = { [Name in keyof Create]?: Create[Name] | null };

/** Where the form has the field. */
export type Section = "purpose" | "name" | "permissions" | "expiry" | "limits" | "advanced";

/** The form control. `custom`: the form has a component of its own for it. */
export type Control =
  | { type: "text" | "multiline"; maxLength?: number; placeholder?: string; isCode?: boolean }
  | { type: "number"; placeholder: string }
  | { type: "datetime"; hasPresets?: boolean }
  | { type: "rate"; preposition: "per" | "every"; placeholder: string }
  | { type: "custom" };

export interface KeyField<Value> {
  label: string;
  /** Label in the form for a new key, if it differs. */
  newLabel?: string;
  hint?: string;
  section: Section;
  control: Control;
  /** A key must have it. */
  isRequired?: boolean;
  /** It is set when the key is created, and cannot be changed. */
  isCreateOnly?: boolean;
  /** The section of the key's page that shows it; absent: none. */
  details?: "access" | "details";
  /** Whether the key's page shows it if it is not set, too. */
  isAlwaysShown?: boolean;
  /** Value of the form for a new key. */
  initial: Value;
  /** Value of the form for an existing key. */
  fromKey: (key: Key) => Value;
  /** Fields of the request body. Fields of one row are always sent together. */
  toRequest: (value: Value) => Settings;
  /** Text for the list of changes and the key's page. `setName` returns the name of a permission set. */
  format: (value: Value, setName: (id: string) => string) => string;
  /** What is wrong with the value; undefined: nothing. */
  validate?: (value: Value) => string | undefined;
  /** Why the form cannot change the value of this key; undefined: it can. */
  readOnlyReason?: (key: Key) => string | undefined;
}

/** The settings that are an optional text in answers and in requests. */
type OptionalText = {
  [Name in keyof Key & keyof Create & keyof Update]: string | null extends Key[Name] ? Name : never;
}[keyof Key & keyof Create & keyof Update];

type OptionalTextRow = Pick<KeyField<string>, "label" | "hint" | "section" | "details"> & {
  /** Characters. */
  maxLength: number;
};

/** The row of an optional text setting. */
function optionalText(name: OptionalText, { maxLength, ...row }: OptionalTextRow): KeyField<string> {
  return {
    ...row,
    control: { type: "text", maxLength },
    initial: "",
    fromKey: (key) => key[name] ?? "",
    toRequest: (value) => ({ [name]: value.trim() === "" ? null : value.trim() }),
    format: (value) => value.trim() || "none",
    validate: (value) => ([...value.trim()].length > maxLength ? `At most ${maxLength} characters.` : undefined),
  };
}

/** The type of a row, for those that are written out. */
const field = <Value>(row: KeyField<Value>) => row;

/** In the order of the list of changes and, within a section, of the form. */
export const KEY_FIELDS = {
  name: field<string>({
    label: "Name",
    hint: "What the key is for. Others see it, too.",
    section: "name",
    control: { type: "text", maxLength: 100 },
    isRequired: true,
    initial: "",
    fromKey: (key) => key.name,
    toRequest: (value) => ({ name: value.trim() }),
    format: (value) => value.trim() || "none",
  }),
  description: optionalText("description", {
    label: "Description",
    hint: "Optional, at most 500 characters.",
    section: "name",
    maxLength: 500,
    details: "details",
  }),
  can_manage: field<boolean>({
    label: "Purpose",
    section: "purpose",
    control: { type: "custom" },
    details: "access",
    isAlwaysShown: true,
    initial: false,
    fromKey: (key) => key.can_manage,
    toRequest: (value) => ({ can_manage: value }),
    format: (value) => (value ? "managing Claviger" : "your own API"),
  }),
  permissions: field<string[]>({
    label: "Permissions",
    section: "permissions",
    control: { type: "custom" },
    initial: [],
    fromKey: (key) => key.permissions,
    toRequest: (value) => ({ permissions: value }),
    format: (value) => value.join(", ") || "none",
  }),
  permission_sets: field<string[]>({
    label: "Permission sets",
    section: "permissions",
    control: { type: "custom" },
    initial: [],
    fromKey: (key) => key.permission_sets,
    toRequest: (value) => ({ permission_sets: value }),
    format: (value, setName) => value.map(setName).join(", ") || "none",
  }),
  expires_at: field<string>({
    label: "Expires",
    hint: "In your time zone. Empty: never.",
    section: "expiry",
    control: { type: "datetime", hasPresets: true },
    details: "details",
    isAlwaysShown: true,
    initial: "",
    fromKey: (key) => toDateTimeInput(key.expires_at),
    toRequest: (value) => ({ expires_at: fromDateTimeInput(value) }),
    format: (value) => formatTime(value, "never"),
  }),
  not_before: field<string>({
    label: "Valid from",
    hint: "Empty: immediately.",
    section: "advanced",
    control: { type: "datetime" },
    details: "details",
    initial: "",
    fromKey: (key) => toDateTimeInput(key.not_before),
    toRequest: (value) => ({ not_before: fromDateTimeInput(value) }),
    format: (value) => formatTime(value, "always"),
  }),
  remaining: field<string>({
    label: "Uses left",
    newLabel: "Total uses",
    hint: "Each successful verification takes one. Empty: unlimited.",
    section: "limits",
    control: { type: "number", placeholder: "unlimited" },
    details: "access",
    isAlwaysShown: true,
    initial: "",
    fromKey: (key) => (key.remaining === null ? "" : String(key.remaining)),
    toRequest: (value) => ({ remaining: toNumber(value) }),
    format: (value) => (value === "" ? "unlimited" : Number(value).toLocaleString("en")),
    validate: (value) => (value === "" || isInteger(value, 0) ? undefined : "A whole number, 0 or more."),
  }),
  refill: field<Rate>({
    label: "Refill",
    section: "limits",
    control: { type: "rate", preposition: "every", placeholder: "no refill" },
    initial: { count: "", interval: "1", unit: "day" },
    fromKey: (key) => toRate(key.refill_amount, key.refill_interval, "day"),
    toRequest: (value) => ({ refill_amount: toNumber(value.count), refill_interval: toInterval(value) }),
    format: (value) => formatRate(value, "every"),
    validate: validateRate,
  }),
  rate_limit: field<Rate>({
    label: "Rate limit",
    section: "limits",
    control: { type: "rate", preposition: "per", placeholder: "unlimited" },
    details: "access",
    isAlwaysShown: true,
    initial: { count: "", interval: "1", unit: "minute" },
    fromKey: (key) => toRate(key.rate_limit_max, key.rate_limit_window, "minute"),
    toRequest: (value) => ({ rate_limit_max: toNumber(value.count), rate_limit_window: toInterval(value) }),
    format: (value) => formatRate(value, "per"),
    validate: validateRate,
  }),
  allowed_addresses: field<string>({
    label: "Allowed IP addresses",
    hint: "One address or network per line, for example 203.0.113.0/24. Empty: any.",
    section: "advanced",
    control: { type: "multiline", isCode: true },
    details: "access",
    isAlwaysShown: true,
    initial: "",
    fromKey: (key) => (key.allowed_addresses ?? []).join("\n"),
    toRequest: (value) => ({ allowed_addresses: parseNetworks(value).length === 0 ? null : parseNetworks(value) }),
    format: (value) => parseNetworks(value).join(", ") || "any",
    validate: (value) => {
      const invalid = parseNetworks(value).find((text) => !isNetwork(text));
      if (invalid !== undefined) return `${invalid} is not an IP address or a network such as 203.0.113.0/24.`;
      const tooLong = parseNetworks(value).find(hasBitsBeyondPrefix);
      return tooLong && `${tooLong} has bits after its prefix: write the first address of the network, or no prefix.`;
    },
  }),
  external_id: optionalText("external_id", {
    label: "External id",
    hint: "Identifier of the key, or of its user, in your own system.",
    section: "advanced",
    maxLength: 255,
    details: "details",
  }),
  prefix: field<string>({
    label: "Prefix",
    hint: "What the secret starts with, so that people and scanners recognize it. Empty: cvg_.",
    section: "advanced",
    control: { type: "text", placeholder: "cvg_", isCode: true },
    isCreateOnly: true,
    initial: "",
    fromKey: (key) => key.prefix,
    toRequest: (value) => ({ prefix: value.trim() || null }),
    format: (value) => value,
    validate: (value) =>
      value === "" || /^[A-Za-z0-9_-]{1,32}$/.test(value.trim()) ? undefined : "Letters, digits, _ and -, at most 32.",
  }),
  metadata: field<string>({
    label: "Metadata",
    hint: "A JSON object that your services get with each verification.",
    section: "advanced",
    control: { type: "multiline", placeholder: '{"plan": "pro"}', isCode: true },
    details: "access",
    initial: "",
    fromKey: (key) => (key.metadata === null ? "" : JSON.stringify(key.metadata, null, 2)),
    toRequest: (value) => ({ metadata: value.trim() === "" ? null : parseObject(value) }),
    format: (value) => (value.trim() === "" ? "none" : (JSON.stringify(parseObject(value) ?? undefined) ?? "…")),
    validate: (value) =>
      value.trim() === "" || parseObject(value) !== null
        ? undefined
        : 'A JSON object like {"plan": "pro"}, with numbers of at most 15 digits.',
    readOnlyReason: (key) =>
      isExact(key.metadata)
        ? undefined
        : "It has numbers that a browser cannot represent exactly. Change it with the API.",
  }),
};

export type KeyFieldName = keyof typeof KEY_FIELDS;

/** The form's values. */
export type KeyFormValues = { [Name in KeyFieldName]: (typeof KEY_FIELDS)[Name]["initial"] };

/** A row without the type of its value, to do the same with all rows. */
export type AnyKeyField = KeyField<KeyFormValues[KeyFieldName]>;

/** All rows in order. */
export const FIELD_LIST = Object.entries(KEY_FIELDS) as unknown as [KeyFieldName, AnyKeyField][];

/** The names of the fields of the API that a row is about. */
export function requestFields(row: AnyKeyField): string[] {
  return Object.keys(row.toRequest(row.initial));
}
