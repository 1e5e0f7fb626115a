// Form ↔ API: what is sent is what was changed, and nothing else.

import { expect, test } from "vitest";
import type { Key } from "../api/client.ts";
import { check, differences, draftOf, EMPTY, granted, isExact, rebase, toCreate, toUpdate } from "./draft.ts";

const KEY = {
  name: "n",
  prefix: "cvg_",
  external_id: null,
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

test("what was not touched is not sent, also what the form shows less exactly", () => {
  const draft = draftOf(KEY);
  expect(toUpdate(draft, { ...draft })).toEqual({});
  expect(differences(draft, { ...draft }, (id) => id)).toEqual([]);
});

test("pairs are changed together, and emptied fields are cleared", () => {
  const draft = draftOf(KEY);
  expect(toUpdate(draft, { ...draft, refill: { ...draft.refill, count: "50" } })).toEqual({
    refill_amount: 50,
    refill_interval: 86_400_000,
  });
  expect(toUpdate(draft, { ...draft, rate: { count: "10", each: "30", unit: "second" } })).toEqual({
    rate_limit_max: 10,
    rate_limit_window: 30_000,
  });
  const emptied = { ...draft, addresses: " \n", metadata: "", expires: "" };
  expect(toUpdate(draft, emptied)).toEqual({ allowed_addresses: null, metadata: null, expires_at: null });
});

test("a new key's body has only what was given", () => {
  expect(toCreate({ ...EMPTY, name: " n ", permissions: ["read"] })).toEqual({
    name: "n",
    permissions: ["read"],
    permission_sets: [],
  });
});

test("what cannot be is said before it is sent", () => {
  expect(Object.keys(check(EMPTY))).toEqual(["name"]);
  const wrong = {
    ...EMPTY,
    name: "n",
    prefix: "a b",
    remaining: "-1",
    refill: { count: "0", each: "1", unit: "day" as const },
    rate: { count: "5", each: "0", unit: "day" as const },
    metadata: "[1]",
    expires: "2027-01-01T00:00",
    notBefore: "2027-01-01T00:00",
  };
  const fields = ["prefix", "remaining", "refill_amount", "rate_limit_max", "metadata", "expires_at"];
  expect(Object.keys(check(wrong))).toEqual(fields);
  const addresses = (text: string) => "allowed_addresses" in check({ ...EMPTY, name: "n", addresses: text });
  for (const good of ["203.0.113.0/24", "10.0.0.1\n2001:db8::/32, ::1", "::ffff:10.0.0.1"])
    expect(addresses(good), good).toBe(false);
  for (const bad of ["300.1.1.1", "10.0.0.0/33", "ten", "10.0.0.0/8/8", "1.2.3"])
    expect(addresses(bad), bad).toBe(true);
  const from = draftOf(KEY);
  expect(Object.keys(check({ ...from, remaining: "" }, from)), "it would clear the refill unseen").toEqual([
    "remaining",
  ]);
  expect(check({ ...EMPTY, name: "n", remaining: "9007199254740993" })).toHaveProperty("remaining");
});

test("what a key may do is its own and its sets' permissions", () => {
  const sets = [{ id: "s", permissions: ["files:*", "mail:send"] }];
  expect(granted(draftOf(KEY), sets)).toEqual(["files:*", "mail:send"]);
});

test("numbers that would change on their way are not sent", () => {
  expect(isExact({ a: [1, 2.5, { b: 9007199254740991 }], c: "12345678901234567890" })).toBe(true);
  for (const text of ['{"a": 12345678901234567890}', '{"a": [1e400]}']) {
    expect(isExact(JSON.parse(text)), text).toBe(false);
    expect(check({ ...EMPTY, name: "n", metadata: text }), text).toHaveProperty("metadata");
  }
});

test("what somebody else changed meanwhile stays, under what one has changed oneself", () => {
  const from = draftOf(KEY);
  const theirs = { ...from, name: "theirs", externalId: "x" };
  expect(rebase({ ...from, name: "mine" }, from, theirs)).toEqual({ ...theirs, name: "mine" });
  expect(rebase(from, from, theirs)).toEqual(theirs);
});

test("a key without a name can be changed without giving it one", () => {
  const from = draftOf({ ...KEY, name: "" });
  expect(check({ ...from, externalId: "x" }, from)).toEqual({});
  expect(toUpdate(from, { ...from, externalId: "x" })).toEqual({ external_id: "x" });
  const named = draftOf(KEY);
  expect(check({ ...named, name: "" }, named)).toHaveProperty("name");
});
