// Policies for keys: their rules in words, and the values of the form that edits one.

import type { KeyPolicy, Schemas } from "../api/client.ts";
import { formatPermission, parsePermission } from "./permissions.ts";
import { DAY } from "./time.ts";

export type KeyPolicyInput = Schemas["KeyPolicyInput"];
export type KeyRule = Schemas["KeyRule"];

/** The names of the rules. */
export const RULE_NAMES: Record<KeyRule, string> = {
  max_lifetime_days: "longest lifetime",
  expiry_required: "expiry required",
  addresses_required_for: "IP allowlist required",
  prefix: "prefix",
  allowed_permissions: "allowed permissions",
  can_manage: "no management of Claviger",
  rotation: "rotation",
  disable_unused_after_days: "unused keys",
};

/** "1 day", "90 days". */
export function countDays(days: number): string {
  return days === 1 ? "1 day" : `${days} days`;
}

/** The rules that are set, each as a sentence. */
export function describeRules(policy: KeyPolicy): string[] {
  const { max_lifetime_days, addresses_required_for, prefix, allowed_permissions, rotation } = policy;
  const unused = policy.disable_unused_after_days;
  const rules = [
    max_lifetime_days !== null && `Keys expire at most ${countDays(max_lifetime_days)} after their creation.`,
    policy.expiry_required && max_lifetime_days === null && "Keys must expire.",
    addresses_required_for.length > 0 &&
      `Keys with ${addresses_required_for.join(", ")}, or a part of it, need an IP allowlist.`,
    prefix !== null && `Secrets begin with ${prefix}.`,
    allowed_permissions !== null &&
      `Keys have only permissions of a list with ${allowed_permissions.length === 1 ? "1 entry" : `${allowed_permissions.length} entries`}.`,
    !policy.can_manage && "Keys cannot manage Claviger.",
    rotation !== null &&
      `Secrets are rotated at least every ${countDays(rotation.days)}${rotation.enforce ? "; keys with an older secret are disabled" : ""}.`,
    unused !== null && `Keys that were neither used nor changed for ${countDays(unused)} are disabled.`,
  ];
  return rules.filter((rule) => rule !== false);
}

/** The values of the form: texts as they are typed. */
export interface KeyPolicyForm {
  max_lifetime_days: string;
  expiry_required: boolean;
  /** Permissions, separated by whitespace or commas. */
  addresses_required_for: string;
  prefix: string;
  /** A permission in each line, followed by its description. */
  allowed_permissions: string;
  cannot_manage: boolean;
  rotation_days: string;
  rotation_enforce: boolean;
  disable_unused_after_days: string;
}

/** The form for a policy; null: there is none. */
export function formFromPolicy(policy: KeyPolicy | null): KeyPolicyForm {
  return {
    max_lifetime_days: policy?.max_lifetime_days?.toString() ?? "",
    expiry_required: policy?.expiry_required ?? false,
    addresses_required_for: policy?.addresses_required_for.join(" ") ?? "",
    prefix: policy?.prefix ?? "",
    allowed_permissions: (policy?.allowed_permissions ?? [])
      .map(({ permission, description }) => (description === null ? permission : `${permission} ${description}`))
      .join("\n"),
    cannot_manage: policy !== null && !policy.can_manage,
    rotation_days: policy?.rotation?.days.toString() ?? "",
    rotation_enforce: policy?.rotation?.enforce ?? false,
    disable_unused_after_days: policy?.disable_unused_after_days?.toString() ?? "",
  };
}

export type KeyPolicyErrors = Partial<Record<keyof KeyPolicyForm, string>>;

const DAYS_ERROR = "Enter a whole number of days from 1 to 3650.";

function isDays(text: string): boolean {
  return /^[0-9]{1,4}$/.test(text.trim()) && Number(text) >= 1 && Number(text) <= 3_650;
}

function words(text: string): string[] {
  return text.split(/[\s,]+/).filter((word) => word !== "");
}

function catalogueOf(text: string): { permission: string; description: string | null }[] {
  const lines = text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
  return lines.map((line) => {
    const at = line.search(/\s/);
    return at < 0
      ? { permission: line, description: null }
      : { permission: line.slice(0, at), description: line.slice(at).trim() };
  });
}

/** The first text that is not a permission. */
function firstInvalid(permissions: readonly string[]): string | undefined {
  return permissions.find((text) => parsePermission(text) === null);
}

/** What is wrong with the form. */
export function validatePolicy(form: KeyPolicyForm): KeyPolicyErrors {
  const errors: KeyPolicyErrors = {};
  for (const name of ["max_lifetime_days", "rotation_days", "disable_unused_after_days"] as const) {
    if (form[name].trim() !== "" && !isDays(form[name])) errors[name] = DAYS_ERROR;
  }
  const guarded = words(form.addresses_required_for);
  const invalid = firstInvalid(guarded);
  if (invalid !== undefined) errors.addresses_required_for = `${invalid} is not a permission.`;
  else if (guarded.length > 50) errors.addresses_required_for = "Enter at most 50 permissions.";
  const prefix = form.prefix.trim();
  if (prefix !== "" && !/^[A-Za-z0-9_-]{1,32}$/.test(prefix)) {
    errors.prefix = "Use 1 to 32 letters, digits, _ or -.";
  }
  const catalogue = catalogueOf(form.allowed_permissions);
  const wrong = firstInvalid(catalogue.map(({ permission }) => permission));
  if (wrong !== undefined) errors.allowed_permissions = `${wrong} is not a permission.`;
  else if (catalogue.length > 200) errors.allowed_permissions = "Enter at most 200 permissions.";
  else if (catalogue.some(({ description }) => (description ?? "").length > 200)) {
    errors.allowed_permissions = "A description has at most 200 characters.";
  }
  if (form.rotation_enforce && form.rotation_days.trim() === "") errors.rotation_days = DAYS_ERROR;
  return errors;
}

/** The policy of a valid form. Null: no rule is set. */
export function toPolicy(form: KeyPolicyForm): KeyPolicyInput | null {
  const days = (text: string) => (text.trim() === "" ? null : Number(text));
  const flat = (text: string) => {
    const permission = parsePermission(text);
    return permission === null ? text : formatPermission(permission);
  };
  const guarded = words(form.addresses_required_for).map(flat);
  const catalogue = catalogueOf(form.allowed_permissions);
  const rotation = days(form.rotation_days);
  const prefix = form.prefix.trim();
  const policy: KeyPolicyInput = {
    max_lifetime_days: days(form.max_lifetime_days),
    expiry_required: form.expiry_required,
    addresses_required_for: guarded,
    prefix: prefix === "" ? null : prefix,
    allowed_permissions:
      catalogue.length === 0 ? null : catalogue.map((entry) => ({ ...entry, permission: flat(entry.permission) })),
    can_manage: !form.cannot_manage,
    rotation: rotation === null ? null : { days: rotation, enforce: form.rotation_enforce },
    disable_unused_after_days: days(form.disable_unused_after_days),
  };
  const isSet =
    form.expiry_required ||
    form.cannot_manage ||
    guarded.length > 0 ||
    [policy.max_lifetime_days, policy.prefix, policy.allowed_permissions, policy.rotation].some(
      (rule) => rule !== null,
    ) ||
    policy.disable_unused_after_days !== null;
  return isSet ? policy : null;
}

/** The longest lifetime of a new key that all of these policies allow, in ms; null: there is no maximum. */
export function maxLifetime(policies: readonly KeyPolicy[]): number | null {
  const days = policies.map((policy) => policy.max_lifetime_days).filter((days) => days !== null);
  return days.length === 0 ? null : Math.min(...days) * DAY;
}

/** Whether a new key must expire. */
export function mustExpire(policies: readonly KeyPolicy[]): boolean {
  return policies.some((policy) => policy.expiry_required || policy.max_lifetime_days !== null);
}

/** The permissions that the policies list, each with its description; null: no policy lists any. */
export function catalogue(policies: readonly KeyPolicy[]): Map<string, string | null> | null {
  const lists = policies.map((policy) => policy.allowed_permissions).filter((list) => list !== null);
  if (lists.length === 0) return null;
  return new Map(lists.flat().map(({ permission, description }) => [permission, description]));
}
