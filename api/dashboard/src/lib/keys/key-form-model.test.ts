// The key form: what is checked, and what is sent.

import { expect, test } from "vitest";
import type { Key } from "../../api/client.ts";
import { FIELD_LIST, KEY_FIELDS } from "./key-fields.ts";
import { toDateTimeInput } from "../time.ts";
import { isExact } from "./key-values.ts";
import {
  differences,
  effectivePermissions,
  EMPTY_FORM,
  errorOf,
  formFromKey,
  rebase,
  settingLabel,
  toCreate,
  toUpdate,
  validate,
} from "./key-form-model.ts";

const NOW = Date.parse("2026-11-21T12:00:00Z");

const KEY = {
  name: "n",
  description: "For the mobile app",
  prefix: "cvg_",
  external_id: null,
  can_manage: true,
  permissions: ["files:read"],
  permission_sets: ["s"],
  expires_at: "2027-01-01T10:30:15.250Z",
  not_before: null,
  allowed_addresses: ["10.0.0.0/8"],
  metadata: { a: 1 },
  remaining: 7,
  refill_amount: 100,
  refill_interval: 86_400_000,
  rate_limit_max: null,
  rate_limit_window: null,
} as unknown as Key;

test("fields that were not edited are not sent, even if the form shows them less exactly", () => {
  const form = formFromKey(KEY);
  expect(toUpdate(form, { ...form })).toEqual({});
  expect(differences(form, { ...form }, (id) => id)).toEqual([]);
});

test("fields of one setting are sent together, and empty fields are cleared", () => {
  const form = formFromKey(KEY);
  expect(toUpdate(form, { ...form, refill: { ...form.refill, count: "50" } })).toEqual({
    refill_amount: 50,
    refill_interval: 86_400_000,
  });
  expect(toUpdate(form, { ...form, rate_limit: { count: "10", interval: "30", unit: "second" } })).toEqual({
    rate_limit_max: 10,
    rate_limit_window: 30_000,
  });
  const emptied = { ...form, allowed_addresses: " \n", metadata: "", expires_at: "" };
  expect(toUpdate(form, emptied)).toEqual({ allowed_addresses: null, metadata: null, expires_at: null });
});

test("the body of a new key has only the fields with a value", () => {
  expect(toCreate({ ...EMPTY_FORM, name: " n ", permissions: ["read"] })).toEqual({
    name: "n",
    can_manage: false,
    permissions: ["read"],
    permission_sets: [],
  });
});

test("the purpose is always sent for a new key, and only if it changed for an existing key", () => {
  expect(EMPTY_FORM.can_manage, "the default is your own API").toBe(false);
  expect(toCreate({ ...EMPTY_FORM, name: "n", can_manage: true })).toMatchObject({ can_manage: true });
  const form = formFromKey(KEY);
  expect(toUpdate(form, { ...form, can_manage: false })).toEqual({ can_manage: false });
  expect(differences(form, { ...form, can_manage: false }, (id) => id)).toEqual([
    { label: "Purpose", before: "managing Claviger", after: "your own API" },
  ]);
});

test("invalid values are reported before they are sent", () => {
  expect(Object.keys(validate(EMPTY_FORM))).toEqual(["name"]);
  const invalid = {
    ...EMPTY_FORM,
    name: "n",
    prefix: "a b",
    remaining: "-1",
    refill: { count: "0", interval: "1", unit: "day" as const },
    rate_limit: { count: "5", interval: "0", unit: "day" as const },
    metadata: "[1]",
    expires_at: "2027-01-01T00:00",
    not_before: "2027-01-01T00:00",
  };
  const fields = ["prefix", "remaining", "refill_amount", "rate_limit_max", "metadata", "expires_at"];
  expect(Object.keys(validate(invalid)).toSorted()).toEqual(fields.toSorted());
  const addresses = (text: string) =>
    "allowed_addresses" in validate({ ...EMPTY_FORM, name: "n", allowed_addresses: text });
  for (const good of [
    "203.0.113.0/24",
    "203.0.113.7/32",
    "10.0.0.1\n2001:db8::/32, ::1",
    "::ffff:10.0.0.1",
    "::/0",
    "2001:db8:0:1::/64",
    "::1/128",
  ])
    expect(addresses(good), good).toBe(false);
  for (const bad of [
    "10.0.0.1/8",
    "2001:db8::1/32",
    "2001:db8:0:1::/63",
    "300.1.1.1",
    "10.0.0.0/33",
    "ten",
    "10.0.0.0/8/8",
    "1.2.3",
  ])
    expect(addresses(bad), bad).toBe(true);
  const from = formFromKey(KEY);
  expect(Object.keys(validate({ ...from, remaining: "" }, from)), "it would also clear the refill").toEqual([
    "remaining",
  ]);
  expect(validate({ ...EMPTY_FORM, name: "n", remaining: "9007199254740993" })).toHaveProperty("remaining");
  const expiring = (expires_at: string) => validate({ ...EMPTY_FORM, name: "n", expires_at }, EMPTY_FORM, NOW);
  expect(expiring(toDateTimeInput(new Date(NOW - 60_000).toISOString()))).toHaveProperty("expires_at");
  expect(expiring(toDateTimeInput(new Date(NOW + 60_000).toISOString()))).toEqual({});
});

test("effective permissions include those of the permission sets", () => {
  const sets = [{ id: "s", permissions: ["files:*", "mail:send"] }];
  expect(effectivePermissions(formFromKey(KEY), sets)).toEqual(["files:*", "mail:send"]);
});

test("numbers that JavaScript cannot represent exactly are not sent", () => {
  expect(isExact({ a: [1, 2.5, { b: 9007199254740991 }], c: "12345678901234567890" })).toBe(true);
  for (const text of ['{"a": 12345678901234567890}', '{"a": [1e400]}']) {
    expect(isExact(JSON.parse(text)), text).toBe(false);
    expect(validate({ ...EMPTY_FORM, name: "n", metadata: text }), text).toHaveProperty("metadata");
  }
});

test("edits are applied to a newer version of the key", () => {
  const from = formFromKey(KEY);
  const latest = { ...from, name: "latest", external_id: "x" };
  expect(rebase({ ...from, name: "edited" }, from, latest)).toEqual({ ...latest, name: "edited" });
  expect(rebase(from, from, latest)).toEqual(latest);
});

test("other settings of an unnamed key can be changed without adding a name", () => {
  const from = formFromKey({ ...KEY, name: "" });
  expect(validate({ ...from, external_id: "x" }, from)).toEqual({});
  expect(toUpdate(from, { ...from, external_id: "x" })).toEqual({ external_id: "x" });
  const named = formFromKey(KEY);
  expect(validate({ ...named, name: "" }, named)).toHaveProperty("name");
});

test("an optional text is one row: read, sent, cleared, compared and checked", () => {
  const form = formFromKey(KEY);
  expect(form.description).toBe("For the mobile app");
  expect(toCreate({ ...EMPTY_FORM, name: "n", description: " d " })).toMatchObject({ description: "d" });
  expect(toUpdate(form, { ...form, description: " " })).toEqual({ description: null });
  expect(differences(form, { ...form, description: "" }, (id) => id)).toEqual([
    { label: "Description", before: "For the mobile app", after: "none" },
  ]);
  expect(validate({ ...EMPTY_FORM, name: "n", description: "ü".repeat(500) })).toEqual({});
  expect(validate({ ...EMPTY_FORM, name: "n", description: "ü".repeat(501) })).toHaveProperty("description");
});

test("a setting that cannot be changed is only in the body of a new key", () => {
  expect(toCreate({ ...EMPTY_FORM, name: "n", prefix: "acme_" })).toMatchObject({ prefix: "acme_" });
  const form = formFromKey(KEY);
  expect(toUpdate(form, { ...form, prefix: "other_" })).toEqual({});
});

test("a key whose metadata JavaScript cannot represent can be changed otherwise", () => {
  const key = { ...KEY, metadata: { a: Number("12345678901234567890") } } as unknown as Key;
  expect(KEY_FIELDS.metadata.readOnlyReason?.(key)).toBeDefined();
  expect(KEY_FIELDS.metadata.readOnlyReason?.(KEY)).toBeUndefined();
  const form = formFromKey(key);
  expect(validate({ ...form, name: "other" }, form)).toEqual({});
  expect(toUpdate(form, { ...form, name: "other" })).toEqual({ name: "other" });
});

test("errors of the service are shown at the setting that has the field", () => {
  expect(errorOf("rate_limit", { rate_limit_window: "must be positive" })).toBe("must be positive");
  expect(errorOf("name", { rate_limit_window: "must be positive" })).toBeUndefined();
  expect(settingLabel("refill_interval")).toBe("Refill");
  expect(settingLabel("version")).toBeUndefined();
  const labels = FIELD_LIST.map(([, field]) => field.label);
  expect(new Set(labels).size, "labels are unique").toBe(labels.length);
});
