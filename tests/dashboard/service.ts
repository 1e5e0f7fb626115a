// Calls to the service under test, by the public API: they create what the pages show.

import { expect } from "@playwright/test";

export const ORIGIN = process.env.CLAVIGER_URL ?? "";

type Json = Record<string, unknown>;

/** A caller with an API key. */
export class Caller {
  constructor(
    readonly key: string,
    readonly org: string,
  ) {}

  async call<T = Json>(method: string, path: string, body?: unknown): Promise<T> {
    const answer = await fetch(`${ORIGIN}${path}`, {
      method,
      headers: { Authorization: `Bearer ${this.key}`, "Content-Type": "application/json" },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    expect(answer.ok, `${method} ${path}: ${answer.status} ${text}`).toBe(true);
    return JSON.parse(text) as T;
  }

  /** Creates a key. Returns its id and its secret. */
  async createKey(settings: Json): Promise<{ id: string; key: string }> {
    return this.call("POST", `/orgs/${this.org}/api_keys`, { permissions: [], ...settings });
  }

  /** Creates up to 1,000 keys. */
  async createKeys(keys: Json[]): Promise<{ id: string; key: string }[]> {
    const path = `/orgs/${this.org}/api_keys/bulk_create`;
    return (await this.call<{ keys: { id: string; key: string }[] }>("POST", path, { keys })).keys;
  }

  async updateKey(id: string, settings: Json): Promise<void> {
    await this.call("PATCH", `/orgs/${this.org}/api_keys/${id}`, settings);
  }

  /** Verifies a key. Returns the code of the verdict. */
  async verify(key: string, permissions: string[] = []): Promise<string> {
    return (await this.call<{ code: string }>("POST", "/api_keys/verify", { key, permissions })).code;
  }

  path(page: string): string {
    return `/#/orgs/${this.org}/${page}`;
  }
}

/** Signs up a new organization, as in the quick start. */
export async function signUp(organization = "Acme Corp", name = "Ada Lovelace"): Promise<Caller> {
  const user = { user_name: name, org_name: organization, user_email: `ada-${crypto.randomUUID()}@example.com` };
  const answer = await fetch(`${ORIGIN}/auth/create-key`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(user),
  });
  const { data } = (await answer.json()) as { data: { api_key: string; org_id: string } };
  return new Caller(data.api_key, data.org_id);
}

const DAY = 86_400_000;
const inDays = (days: number) => new Date(Date.now() + days * DAY).toISOString();

/** An organization with members, permission sets and keys of every status, for pictures and lists. */
export async function sampleOrganization(): Promise<Caller> {
  const admin = await signUp();
  const set = await admin.call<{ id: string }>("POST", `/orgs/${admin.org}/permission_sets`, {
    name: "readers",
    permissions: ["files:read", "files:list"],
  });
  await admin.call("POST", `/orgs/${admin.org}/permission_sets`, {
    name: "billing",
    permissions: ["invoices:read", "invoices:write"],
  });
  for (const [user_name, address] of [
    ["Grace Hopper", "grace"],
    ["Alan Turing", "alan"],
  ]) {
    const user_email = `${address}-${admin.org}@example.com`;
    await admin.call("POST", `/orgs/${admin.org}/members`, {
      user_name,
      user_email,
      permissions: ["files:*", "api_keys:read"],
    });
  }
  const mobile = await admin.createKey({
    name: "Mobile app",
    description: "Calls of the iOS and Android apps",
    can_manage: false,
    permissions: ["files:read", "files:write"],
    rate_limit_max: 1000,
    rate_limit_window: 60_000,
  });
  const billing = await admin.createKey({
    name: "Billing worker",
    can_manage: false,
    permission_sets: [set.id],
    permissions: ["invoices:write"],
    remaining: 5_000,
    refill_amount: 5_000,
    refill_interval: DAY,
  });
  await admin.createKey({
    name: "Partner: Initech",
    can_manage: false,
    permissions: ["files:read"],
    expires_at: inDays(12),
    external_id: "partner-17",
  });
  const off = await admin.createKey({ name: "Old importer", permissions: ["*"] });
  await admin.updateKey(off.id, { enabled: false });
  const spent = await admin.createKey({
    name: "Trial of Globex",
    can_manage: false,
    permissions: ["files:read"],
    remaining: 3,
  });
  await admin.createKey({
    name: "Next year's batch",
    can_manage: false,
    permissions: ["reports:read"],
    not_before: inDays(40),
  });
  const rotated = await admin.createKey({
    name: "Web shop",
    can_manage: false,
    permissions: ["orders:*", "files:read"],
  });
  await admin.createKey({ name: "Root for scripts", permissions: ["*"] });
  for (let use = 0; use < 14; use++) await admin.verify(mobile.key, ["files:read"]);
  for (let use = 0; use < 5; use++) await admin.verify(mobile.key, ["files:delete"]);
  for (let use = 0; use < 9; use++) await admin.verify(billing.key, ["files:list"]);
  for (let use = 0; use < 4; use++) await admin.verify(spent.key);
  await admin.verify(rotated.key);
  await admin.call("POST", `/orgs/${admin.org}/api_keys/${rotated.id}/rotate`, { grace_seconds: 86_400 });
  await admin.verify(rotated.key, ["orders:read"]);
  return admin;
}
