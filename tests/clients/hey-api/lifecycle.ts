// The lifecycle of a key (see README.md in the folder above), with hey-api's client.
import { createClient } from "./client/client";
import {
  createApiKey,
  createPermissionSet,
  deleteApiKey,
  getApiKey,
  listApiKeys,
  rotateApiKey,
  signUp,
  updatePermissionSet,
  verifyApiKey,
} from "./client";

declare const process: { argv: string[]; exit(code: number): never };

function check(condition: boolean, what: string): asserts condition {
  if (!condition) {
    console.error(`hey-api: ${what}`);
    process.exit(1);
  }
}

async function lifecycle(baseUrl: string): Promise<void> {
  const month = 30 * 24 * 3_600_000;
  const signedUp = await signUp({
    client: createClient({ baseUrl }),
    body: { user_name: "Hay Api", user_email: "hay@example.com", org_name: "Lifecycle" },
  });
  check(signedUp.data?.data.org_name === "Lifecycle", "sign up");
  const { api_key, org_id } = signedUp.data.data;
  // The key is sent once.
  const client = createClient({
    baseUrl,
    auth: () => api_key,
    fetch: (request) => {
      const { headers } = request as Request;
      const credentials = ["authorization", "x-api-key", "cookie"].filter((name) => headers.has(name));
      check(credentials.join() === "authorization", `the credential is sent in ${credentials.join()}`);
      return fetch(request);
    },
  });

  const limits = { remaining: 5, refill_amount: 5, refill_interval: month, rate_limit_max: 100, rate_limit_window: month };
  const created = await createApiKey({
    client,
    path: { org_id },
    body: { name: "metered", permissions: ["files:read"], ...limits },
  });
  check(created.data !== undefined && created.data.key !== null, "create");
  const { id, key } = created.data;
  const listed = await listApiKeys({ client, path: { org_id } });
  const found = listed.data?.find((one) => one.id === id);
  check(found?.refill_interval === month && found.rate_limit_window === month, "list");

  const verify = async (secret: string, permissions?: string[]) => {
    const { data } = await verifyApiKey({ client, body: { key: secret, permissions } });
    check(data !== undefined, "verify");
    return data;
  };
  const held = await verify(key, ["files:read"]);
  check(held.valid && held.remaining === 4 && held.rate_limit?.limit === 100, "a held permission");
  const lacked = await verify(key, ["files:write"]);
  check(!lacked.valid && lacked.code === "INSUFFICIENT_PERMISSIONS", "a lacked permission");

  const set = await createPermissionSet({
    client,
    path: { org_id },
    body: { name: "readers", permissions: ["files:read"] },
  });
  check(set.data !== undefined, "a permission set");
  const renamed = await updatePermissionSet({ client, path: { org_id, set_id: set.data.id }, body: { name: "viewers" } });
  check(renamed.data?.name === "viewers" && renamed.data.permissions.join() === "files:read", "rename a permission set");

  const path = { org_id, key_id: id };
  const rotated = await rotateApiKey({ client, path, body: { grace_seconds: 0 } });
  check(rotated.data !== undefined && rotated.data.key !== null && rotated.data.key !== key, "rotate");
  check((await verify(key)).code === "INVALID_API_KEY", "the previous secret");
  check((await verify(rotated.data.key)).remaining === 3, "the new secret");
  const deleted = await deleteApiKey({ client, path });
  check(deleted.data?.message === "API key deleted successfully", "delete");
  const gone = await getApiKey({ client, path });
  check(gone.response?.status === 404 && gone.error?.reason === "not_found", "a deleted key");
  check((await verify(rotated.data.key)).code === "INVALID_API_KEY", "the secret of a deleted key");
  console.log("hey-api: the lifecycle of a key works");
}

lifecycle(process.argv[2] ?? "").catch((error: unknown) => {
  console.error("hey-api:", error);
  process.exit(1);
});
