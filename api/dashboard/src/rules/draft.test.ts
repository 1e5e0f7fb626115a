// Form ↔ API: what is sent is what was changed, and nothing else.

import { expect, test } from "vitest";
import type { Key } from "../api/client.ts";
import { check, differences, draftOf, EMPTY, granted, toCreate, toUpdate } from "./draft.ts";

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
