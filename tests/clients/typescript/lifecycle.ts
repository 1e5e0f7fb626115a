// The lifecycle of a key (see README.md in the folder above), with types of openapi-typescript.
import createClient from "openapi-fetch";
import type { paths } from "./schema";

declare const process: { argv: string[]; exit(code: number): never };

function check(condition: boolean, what: string): asserts condition {
  if (!condition) {
    console.error(`openapi-typescript: ${what}`);
    process.exit(1);
  }
}

const baseUrl = process.argv[2] ?? "";
const month = 30 * 24 * 3_600_000;

const signedUp = await createClient<paths>({ baseUrl }).POST("/auth/create-key", {
  body: { user_name: "Tom Types", user_email: "tom@example.com", org_name: "Lifecycle" },
});
check(signedUp.data?.data.org_name === "Lifecycle", "sign up");
const { api_key, org_id } = signedUp.data.data;
const client = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${api_key}` } });

const created = await client.POST("/orgs/{org_id}/api_keys", {
  params: { path: { org_id } },
  body: {
    name: "metered",
    permissions: ["files:read"],
    remaining: 5,
    refill_amount: 5,
    refill_interval: month,
    rate_limit_max: 100,
    rate_limit_window: month,
  },
});
check(created.data !== undefined && created.data.key !== null, "create");
const { id, key } = created.data;
const listed = await client.GET("/orgs/{org_id}/api_keys", { params: { path: { org_id } } });
const found = listed.data?.find((one) => one.id === id);
check(found?.refill_interval === month && found.rate_limit_window === month, "list");

const verify = async (secret: string, permissions?: string[]) => {
  const body = { key: secret, ...(permissions && { permissions }) };
  const { data } = await client.POST("/api_keys/verify", { body });
  check(data !== undefined, "verify");
  return data;
};
const held = await verify(key, ["files:read"]);
check(held.valid && held.remaining === 4 && held.rate_limit?.limit === 100, "a held permission");
const lacked = await verify(key, ["files:write"]);
check(!lacked.valid && lacked.code === "INSUFFICIENT_PERMISSIONS", "a lacked permission");

const set = await client.POST("/orgs/{org_id}/permission_sets", {
  params: { path: { org_id } },
  body: { name: "readers", permissions: ["files:read"] },
});
check(set.data !== undefined, "a permission set");
const renamed = await client.PATCH("/orgs/{org_id}/permission_sets/{set_id}", {
  params: { path: { org_id, set_id: set.data.id } },
  body: { name: "viewers" },
});
check(renamed.data?.name === "viewers" && renamed.data.permissions.join() === "files:read", "rename a permission set");

const one = { path: { org_id, key_id: id } };
const rotated = await client.POST("/orgs/{org_id}/api_keys/{key_id}/rotate", { params: one, body: { grace_seconds: 0 } });
check(rotated.data?.key !== undefined && rotated.data.key !== null && rotated.data.key !== key, "rotate");
check((await verify(key)).code === "INVALID_API_KEY", "the previous secret");
check((await verify(rotated.data.key)).remaining === 3, "the new secret");
const deleted = await client.DELETE("/orgs/{org_id}/api_keys/{key_id}", { params: one });
check(deleted.data?.message === "API key deleted successfully", "delete");
const gone = await client.GET("/orgs/{org_id}/api_keys/{key_id}", { params: one });
check(gone.response.status === 404 && gone.error?.reason === "not_found", "a deleted key");
check((await verify(rotated.data.key)).code === "INVALID_API_KEY", "the secret of a deleted key");
console.log("openapi-typescript: the lifecycle of a key works");
