// The quick start, by a client that is typed from the document alone.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema";

declare const process: { argv: string[]; exit(code: number): never };
type ApiKey = components["schemas"]["ApiKey"];

function check(condition: boolean, what: string): asserts condition {
  if (!condition) {
    console.error(`TypeScript client: ${what}`);
    process.exit(1);
  }
}

const baseUrl = process.argv[2] ?? "";
const as = (key: string) => createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${key}` } });

const signUp = await createClient<paths>({ baseUrl }).POST("/auth/create-key", {
  body: { user_name: "Tess Typed", user_email: "tess@example.com", org_name: "Types" },
});
check(signUp.data !== undefined, "sign-up");
const { api_key, org_id, key_id } = signUp.data.data;
const admin = as(api_key);

const path = { org_id };
const created = await admin.POST("/orgs/{org_id}/api_keys", {
  params: { path },
  body: { name: "Reader", permissions: ["read"], metadata: { team: "a" } },
});
check(created.data !== undefined, "create");
check(created.data.expires_at === null && created.data.metadata?.["team"] === "a", "nullable fields");
const reader = as(created.data.key);

const listed = await reader.GET("/orgs/{org_id}/api_keys", { params: { path, query: { limit: 10 } } });
const keys: ApiKey[] = listed.data ?? [];
check(keys.some((key) => key.id === key_id) && keys.length === 2, "list");

const refused = await reader.POST("/orgs/{org_id}/api_keys", { params: { path }, body: { name: "x", permissions: [] } });
check(refused.response.status === 403 && refused.error?.code === 403, "a reader cannot create");

const deleted = await admin.DELETE("/orgs/{org_id}/api_keys/{key_id}", {
  params: { path: { org_id, key_id: created.data.id } },
});
check(deleted.data?.message === "API key deleted successfully", "delete");
const gone = await reader.GET("/auth/check-key");
check(gone.response.status === 401 && gone.error?.success === false, "the deleted key is refused");

// Both written forms of a number are in the types, and so is what null means.
const metered = await admin.POST("/api/auth/api-key/create", { body: { remaining: "2", rateLimitMax: 5, name: null } });
check(metered.data?.remaining === 2 && metered.data.rateLimitTimeWindow === 86_400_000, "limits");
const verdict = await admin.POST("/api/auth/api-key/verify", { body: { key: metered.data.key } });
check(verdict.data?.valid === true && verdict.data.key?.remaining === 1, "verify");
const unknown = await admin.POST("/api/auth/api-key/verify", { body: { key: "nonsense" } });
check(unknown.data?.error?.code === "INVALID_API_KEY" && unknown.data.key === null, "a refusal");
console.log("TypeScript client: the quick start works");
