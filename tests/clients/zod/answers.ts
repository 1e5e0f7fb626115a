// The zod schemas that orval and kubb generate accept the requests and responses of the lifecycle of a key, also those with null.
import * as orval from "./orval.ts";
import * as kubb from "./kubb/index.ts";

declare const process: { argv: string[] };

function check(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(what);
}

const baseUrl = process.argv[2] ?? "";

async function call(key: string | null, method: string, path: string, body?: unknown): Promise<any> {
  const headers = { "Content-Type": "application/json", ...(key === null ? {} : { Authorization: `Bearer ${key}` }) };
  const response = await fetch(`${baseUrl}${path}`, { method, headers, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
  return response.json();
}

type Schema = { parse(answer: unknown): unknown };
function parse(schemas: [Schema, Schema], answer: unknown): void {
  for (const schema of schemas) schema.parse(answer);
}

const signUp = { user_name: "Zoe Zod", user_email: "zoe@example.com", org_name: "Zod" };
const { api_key, org_id } = (await call(null, "POST", "/auth/create-key", signUp)).data;
const org = `/orgs/${org_id}`;
// The schemas of requests accept what the lifecycle of a key sends (see README.md in the folder above).
async function send(schemas: [Schema, Schema], key: string | null, method: string, path: string, body: unknown): Promise<any> {
  parse(schemas, body);
  return call(key, method, path, body);
}

const month = 30 * 24 * 3_600_000;
const limits = { remaining: 5, refill_amount: 5, refill_interval: month, rate_limit_max: 100, rate_limit_window: month };
const key = { name: "metered", permissions: ["files:read"], ...limits };
const made = await send([orval.createApiKeyBody, kubb.createApiKeyRequestSchema], api_key, "POST", `${org}/api_keys`, key);
parse([orval.createApiKeyResponse, kubb.createdApiKeySchema], made);
const one = `${org}/api_keys/${made.id}`;
parse([orval.getApiKeyResponse, kubb.apiKeySchema], await call(api_key, "GET", one));
const listed = await call(api_key, "GET", `${org}/api_keys`);
parse([orval.listApiKeysResponse, kubb.apiKeySchema.array()], listed);
const found = listed.find((listed: any) => listed.id === made.id);
check(found.refill_interval === month && found.rate_limit_window === month, "limits of 30 days in a list");
// A key of the organization itself has no user.
parse([orval.getMeResponse, kubb.callerSchema], await call(api_key, "GET", "/me"));
parse([orval.getMeResponse, kubb.callerSchema], await call(made.key, "GET", "/me"));

async function verify(key: string, permissions?: string[], query = ""): Promise<any> {
  const body = { key, permissions };
  const schemas: [Schema, Schema] = [orval.verifyApiKeyBody, kubb.verifyApiKeyRequestSchema];
  const verdict = await send(schemas, api_key, "POST", `/api_keys/verify${query}`, body);
  parse([orval.verifyApiKeyResponse, kubb.verdictSchema], verdict);
  return verdict;
}
const held = await verify(made.key, ["files:read"]);
check(held.valid && held.remaining === 4 && held.rate_limit.limit === 100, "a held permission");
check((await verify(made.key, ["files:write"])).code === "INSUFFICIENT_PERMISSIONS", "a lacked permission");
check((await verify(made.key, [], "?explain=true")).remaining === 4, "an explained verification takes no use");
check((await verify("unknown")).code === "INVALID_API_KEY", "an unknown key");
for (const body of [{ key: made.key, permissions: { files: ["read"] } }, { key: "unknown" }]) {
  const schemas: [Schema, Schema] = [orval.verifyAthenaKeyBody, kubb.athenaVerifyKeyRequestSchema];
  const athena = await send(schemas, api_key, "POST", "/api/auth/api-key/verify", body);
  parse([orval.verifyAthenaKeyResponse, kubb.athenaVerdictSchema], athena);
  check(athena.valid === (body.key === made.key), "Athena's verify");
}
parse([orval.getOrganizationUsageResponse, kubb.usageSchema], await call(api_key, "GET", `${org}/usage`));
parse([orval.listTopUsageResponse, kubb.topUsageSchema], await call(api_key, "GET", `${org}/usage/top`));
const byDay = await call(api_key, "GET", `${org}/usage/api_keys?ids=${made.id}`);
parse([orval.getApiKeysUsageResponse, kubb.keysUsageSchema], byDay);

const sets = `${org}/permission_sets`;
const newSet = { name: "readers", permissions: ["files:read"] };
const set = await send([orval.createPermissionSetBody, kubb.createPermissionSetRequestSchema], api_key, "POST", sets, newSet);
const change: [Schema, Schema] = [orval.updatePermissionSetBody, kubb.updatePermissionSetRequestSchema];
const renamed = await send(change, api_key, "PATCH", `${sets}/${set.id}`, { name: "viewers" });
parse([orval.updatePermissionSetResponse, kubb.permissionSetSchema], renamed);
check(renamed.name === "viewers" && renamed.permissions.join() === "files:read", "rename a permission set");

const rotation: [Schema, Schema] = [orval.rotateApiKeyBody, kubb.rotateApiKeyRequestSchema];
const rotated = await send(rotation, api_key, "POST", `${one}/rotate`, { grace_seconds: 0 });
parse([orval.rotateApiKeyResponse, kubb.createdApiKeySchema], rotated);
check((await verify(made.key)).code === "INVALID_API_KEY", "the previous secret");
check((await verify(rotated.key)).valid === true, "the new secret");
parse([orval.deleteApiKeyResponse, kubb.confirmationSchema], await call(api_key, "DELETE", one));
check((await verify(rotated.key)).code === "INVALID_API_KEY", "the secret of a deleted key");
console.log("zod schemas of orval and kubb: the lifecycle of a key is accepted");
