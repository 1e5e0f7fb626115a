// The lifecycle of a key, with better-auth's client and its API key plugin.
import assert from "node:assert/strict";
import { createAuthClient } from "better-auth/client";
import { apiKeyClient } from "@better-auth/api-key/client";

const base = process.argv[2];
const signUp = await fetch(`${base}/auth/create-key`, {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ user_name: "Bea", user_email: "bea@example.com" }),
});
const { api_key: token, user_id: userId } = (await signUp.json()).data;

const client = createAuthClient({
  baseURL: `${base}/api/auth`,
  fetchOptions: { auth: { type: "Bearer", token } },
  plugins: [apiKeyClient()],
});
const ok = ({ data, error }) => {
  assert.equal(error, null, JSON.stringify(error));
  return data;
};

const created = ok(
  await client.apiKey.create({
    name: "mobile",
    expiresIn: 86_400,
    prefix: "app_",
    remaining: 2,
    metadata: { tier: "gold" },
    permissions: { files: ["read"] },
  }),
);
assert.match(created.key, /^app_/);
assert.equal(created.referenceId, userId);
assert.ok(created.expiresAt instanceof Date, "the client parses times as dates");

const got = ok(await client.apiKey.get({ query: { id: created.id } }));
assert.deepEqual([got.name, got.remaining, got.permissions], ["mobile", 2, { files: ["read"] }]);
assert.equal(got.key, undefined);
assert.equal(ok(await client.apiKey.list()).length, 2);

const updated = ok(await client.apiKey.update({ keyId: created.id, name: "renamed", enabled: true }));
assert.equal(updated.name, "renamed");

const verify = async (permissions) => ok(await client.apiKey.verify({ key: created.key, permissions }));
assert.equal((await verify({ files: ["read"] })).key.remaining, 1);
assert.equal((await verify({ files: ["write"] })).error.code, "INSUFFICIENT_PERMISSIONS");
assert.equal((await verify()).key.remaining, 0);
assert.deepEqual([(await verify()).valid, (await verify()).error.code], [false, "USAGE_EXCEEDED"]);

assert.deepEqual(ok(await client.apiKey.delete({ keyId: created.id })), { success: true });
assert.equal((await verify()).error.code, "INVALID_API_KEY");
const gone = await client.apiKey.get({ query: { id: created.id } });
assert.deepEqual([gone.error.status, gone.error.code], [404, "KEY_NOT_FOUND"]);
assert.deepEqual(ok(await client.apiKey.deleteAllExpiredApiKeys({})), { deleted: 0 });
console.log("better-auth's client: the lifecycle of a key works");
