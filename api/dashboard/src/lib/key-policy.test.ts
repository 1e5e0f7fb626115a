// Policies for keys: their form, and their rules in words.

import { expect, test } from "vitest";
import type { KeyPolicy } from "../api/client.ts";
import {
  catalogue,
  describeRules,
  formFromPolicy,
  maxLifetime,
  mustExpire,
  toPolicy,
  validatePolicy,
} from "./key-policy.ts";
import { DAY } from "./time.ts";

const NONE: KeyPolicy = {
  max_lifetime_days: null,
  expiry_required: false,
  addresses_required_for: [],
  prefix: null,
  allowed_permissions: null,
  can_manage: true,
  rotation: null,
  disable_unused_after_days: null,
};

const FULL: KeyPolicy = {
  max_lifetime_days: 90,
  expiry_required: true,
  addresses_required_for: ["files:write", "*"],
  prefix: "acme_",
  allowed_permissions: [
    { permission: "files:read", description: "Read files of customers" },
    { permission: "read", description: null },
  ],
  can_manage: false,
  rotation: { days: 1, enforce: true },
  disable_unused_after_days: 60,
};

test("the form of a policy is that policy", () => {
  expect(toPolicy(formFromPolicy(FULL))).toEqual(FULL);
  expect(validatePolicy(formFromPolicy(FULL))).toEqual({});
});

test("a form without rules is no policy", () => {
  expect(toPolicy(formFromPolicy(null))).toBeNull();
  expect(toPolicy(formFromPolicy(NONE))).toBeNull();
  expect(toPolicy({ ...formFromPolicy(null), disable_unused_after_days: "30" })).toEqual({
    ...NONE,
    disable_unused_after_days: 30,
  });
});

test("each wrong value is reported at its field", () => {
  const form = formFromPolicy(null);
  const wrong = {
    max_lifetime_days: "0",
    rotation_days: "3651",
    disable_unused_after_days: "1.5",
    addresses_required_for: "files:write a:b:c",
    prefix: "acme.",
    allowed_permissions: "files:read Read\n:",
  };
  expect(Object.keys(validatePolicy({ ...form, ...wrong })).sort()).toEqual(Object.keys(wrong).sort());
  expect(validatePolicy({ ...form, rotation_enforce: true })).toHaveProperty("rotation_days");
  expect(validatePolicy({ ...form, allowed_permissions: `read ${"x".repeat(201)}` })).toHaveProperty(
    "allowed_permissions",
  );
});

test("rules are described in sentences", () => {
  expect(describeRules(NONE)).toEqual([]);
  expect(describeRules(FULL)).toHaveLength(7);
  expect(describeRules({ ...NONE, rotation: { days: 1, enforce: false } })).toEqual([
    "Secrets are rotated at least every 1 day.",
  ]);
});

test("the strictest of several policies counts", () => {
  expect(maxLifetime([NONE, FULL, { ...NONE, max_lifetime_days: 30 }])).toBe(30 * DAY);
  expect([maxLifetime([NONE]), mustExpire([NONE]), mustExpire([NONE, FULL])]).toEqual([null, false, true]);
  expect(catalogue([NONE])).toBeNull();
  expect([...(catalogue([NONE, FULL]) ?? [])]).toEqual([
    ["files:read", "Read files of customers"],
    ["read", null],
  ]);
});
