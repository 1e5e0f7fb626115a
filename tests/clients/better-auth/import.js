// Creates databases with better-auth itself, as its server does: on SQLite, and on PostgreSQL if CLAVIGER_TEST_POSTGRES_URL
// names a server. Imports their keys into Claviger and verifies them.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { setTimeout as pause } from "node:timers/promises";

import { apiKey } from "@better-auth/api-key";
import { LibsqlDialect } from "@libsql/kysely-libsql";
import { betterAuth } from "better-auth";
import { getMigrations } from "better-auth/db/migration";
import pg from "pg";

const [base, claviger, databaseUrl, directory] = process.argv.slice(2);

async function call(path, body, key) {
  const headers = { "content-type": "application/json", ...(key && { authorization: `Bearer ${key}` }) };
  const answer = await fetch(base + path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body) });
  return { status: answer.status, ...(await answer.json()) };
}

// Creates a user and keys in a database of better-auth. Returns the user's id and the secrets of the keys.
async function make(database) {
  const options = {
    baseURL: "http://localhost",
    secret: "a secret of this test, which is long enough to be one",
    database,
    emailAndPassword: { enabled: true },
    plugins: [apiKey({ enableMetadata: true })],
  };
  await (await getMigrations(options)).runMigrations();
  const { api } = betterAuth(options);
  const person = { name: "Ann", email: "ann@example.com", password: "a long password" };
  const { user } = await api.signUpEmail({ body: person });
  const key = (settings) => api.createApiKey({ body: { userId: user.id, rateLimitEnabled: false, ...settings } });
  const prefixed = { prefix: "sk_live_", metadata: { plan: "pro" }, permissions: { files: ["read", "write"] } };
  const off = await key({ name: "off" });
  await api.updateApiKey({ body: { keyId: off.id, userId: user.id, enabled: false } });
  return {
    user: user.id,
    plain: (await key({ name: "plain" })).key,
    prefixed: (await key({ name: "prefixed", ...prefixed })).key,
    metered: (await key({ name: "metered", remaining: 2 })).key,
    limited: (await key({ name: "limited", rateLimitEnabled: true, rateLimitMax: 1, rateLimitTimeWindow: 3_600_000 })).key,
    off: off.key,
  };
}

async function check(url, database) {
  const made = await make(database);
  const email = `${Object.keys(made).length}-${new URL(url).protocol.length}@example.com`;
  const { data: admin } = await call("/auth/create-key", { user_name: "Ann", user_email: email });
  const run = (...more) => {
    const words = ["import", "better-auth", url, "--organization", admin.org_id, "--database-url", databaseUrl, ...more];
    const output = execFileSync(claviger, words, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
    assert.match(output, /^4 keys: … and 64 characters\n1 keys: sk_live_… and 64 characters\n/);
    return output.split("\n").find((line) => line.includes("imported before"));
  };
  assert.equal(run("--dry-run"), "5 keys: 5 would be imported, 0 imported before");
  assert.equal(run(), "5 keys: 5 imported, 0 imported before");
  assert.equal(run(), "5 keys: 0 imported, 5 imported before");
  const verify = (key, permissions) => call("/api_keys/verify", { key, permissions }, admin.api_key);
  // The service reads changes of another process within a second. Keys of each prefix are stored by a transaction of their own.
  for (const key of [made.plain, made.prefixed]) {
    for (let tries = 0; (await verify(key)).code !== "VALID"; tries += 1) {
      assert.ok(tries < 100, "the imported keys are still unknown");
      await pause(100);
    }
  }
  const prefixed = await verify(made.prefixed, ["files:read", "files:write"]);
  assert.deepEqual([prefixed.code, prefixed.name, prefixed.metadata], ["VALID", "prefixed", { plan: "pro" }]);
  assert.equal(prefixed.external_id, made.user);
  assert.equal((await verify(made.prefixed, ["files:delete"])).code, "INSUFFICIENT_PERMISSIONS");
  const metered = [await verify(made.metered), await verify(made.metered), await verify(made.metered)];
  assert.deepEqual(metered.map((verdict) => verdict.code), ["VALID", "VALID", "USAGE_EXCEEDED"]);
  const limited = [await verify(made.limited), await verify(made.limited)];
  assert.deepEqual(limited.map((verdict) => verdict.code), ["VALID", "RATE_LIMITED"]);
  assert.equal((await verify(made.off)).code, "KEY_DISABLED");
  assert.equal((await verify(made.plain.toLowerCase())).code, "INVALID_API_KEY");
  assert.equal((await call("/auth/check-key", undefined, made.plain)).status, 200, "an imported key is a credential after its first verification");
}

const file = `${directory}/better-auth.db`;
await check(`sqlite://${file}`, { dialect: new LibsqlDialect({ url: `file:${file}` }), type: "sqlite" });

const server = process.env.CLAVIGER_TEST_POSTGRES_URL;
if (server) {
  const name = `better_auth_${process.pid}`;
  const other = new pg.Client({ connectionString: server });
  await other.connect();
  await other.query(`CREATE DATABASE ${name}`);
  const url = new URL(server);
  url.pathname = `/${name}`;
  const pool = new pg.Pool({ connectionString: url.href });
  try {
    await check(url.href, pool);
  } finally {
    // The pool does not wait until its connections are closed. PostgreSQL does, for five seconds; with FORCE it would end them,
    // which is an error without a listener in this process.
    await pool.end();
    await other.query(`DROP DATABASE ${name}`);
    await other.end();
  }
}
console.log("better-auth's keys were imported");
process.exit(0);
