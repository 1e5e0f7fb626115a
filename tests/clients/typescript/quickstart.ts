// The quick start, with a client whose types are generated from the OpenAPI document.
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
const reader = as(created.data.key ?? "");

const listed = await reader.GET("/orgs/{org_id}/api_keys", { params: { path, query: { limit: 10 } } });
const keys: ApiKey[] = listed.data ?? [];
check(keys.some((key) => key.id === key_id) && keys.length === 2, "list");

const refused = await reader.POST("/orgs/{org_id}/api_keys", { params: { path }, body: { name: "x", permissions: [] } });
check(refused.response.status === 403 && refused.error?.code === 403, "a reader cannot create");

const one = { path: { org_id, key_id: created.data.id } };
const changed = await admin.PATCH("/orgs/{org_id}/api_keys/{key_id}", {
  params: one,
  body: { allowed_addresses: ["127.0.0.0/8", "::1"], not_before: "2026-01-01T00:00:00Z" },
});
check(changed.data?.allowed_addresses?.length === 2, "restrictions");
const rotated = await admin.POST("/orgs/{org_id}/api_keys/{key_id}/rotate", {
  params: { ...one, header: { "Idempotency-Key": "rotate-1" } },
  body: { grace_seconds: 60 },
});
check(rotated.data?.key?.startsWith("cvg_") === true, "rotate");
const again = await admin.POST("/orgs/{org_id}/api_keys/{key_id}/rotate", {
  params: { ...one, header: { "Idempotency-Key": "rotate-1" } },
  body: { grace_seconds: 60 },
});
check(again.data?.id === created.data.id && again.data.key === null, "a replayed response");
const found = await admin.GET("/orgs/{org_id}/api_keys", {
  params: { path, query: { permission: "files:read", sort: "-request_count", enabled: true, limit: 10 } },
});
check(found.data?.some((key) => key.id === created.data.id) === true, "filters and sort order of a list");
const usage = await admin.GET("/orgs/{org_id}/api_keys/{key_id}/usage", { params: { ...one, query: { by: "day" } } });
check(usage.data?.series.length === 30, "usage");
const events = await admin.GET("/orgs/{org_id}/audit_events", { params: { path, query: { action: "api_key.rotate" } } });
check(events.data?.length === 1 && events.data[0]?.outcome === "done", "the audit log");
const imported = await admin.POST("/orgs/{org_id}/api_keys/import", {
  params: { path },
  body: {
    shape: { prefix: "old_", length: 32, alphabet: "hex" },
    dry_run: true,
    keys: [{ hash: "00".repeat(32), permissions: ["read"] }],
  },
});
check(imported.data?.imported === 1, "import");

const deleted = await admin.DELETE("/orgs/{org_id}/api_keys/{key_id}", {
  params: { path: { org_id, key_id: created.data.id } },
});
check(deleted.data?.message === "API key deleted successfully", "delete");
const restored = await admin.POST("/orgs/{org_id}/api_keys/{key_id}/restore", { params: one });
check(restored.data?.enabled === false, "restore");
const gone = await reader.GET("/auth/check-key");
check(gone.response.status === 401 && gone.error?.success === false, "the deleted key is refused");

// The types contain maps, numbers and nullable fields.
const permissions = { files: ["read"] };
const metered = await admin.POST("/api/auth/api-key/create", {
  body: { remaining: 2, rateLimitMax: 5, name: null, permissions },
});
check(metered.data?.remaining === 2 && metered.data.rateLimitTimeWindow === 86_400_000, "limits");
const verdict = await admin.POST("/api/auth/api-key/verify", { body: { key: metered.data.key, permissions } });
check(verdict.data?.valid === true && verdict.data.key?.remaining === 1, "verify");
const unknown = await admin.POST("/api/auth/api-key/verify", { body: { key: "nonsense" } });
check(unknown.data?.error?.code === "INVALID_API_KEY" && unknown.data.key === null, "an unknown key");

// Members, permission sets, sessions of browsers, and tokens of services.
const set = await admin.POST("/orgs/{org_id}/permission_sets", {
  params: { path },
  body: { name: "readers", permissions: ["files:read"] },
});
check(set.data !== undefined, "a permission set");
const member = await admin.POST("/orgs/{org_id}/members", {
  params: { path },
  body: { user_email: "jo@example.com", user_name: "Jo", permissions: [], permission_sets: [set.data.id] },
});
check(member.data?.user_email === "jo@example.com" && member.data.permission_sets[0] === set.data.id, "a member");
const organization = await admin.PATCH("/orgs/{org_id}", { params: { path }, body: { name: "Typed" } });
check(organization.data?.name === "Typed" && organization.data.external_id === null, "an organization");
const me = await admin.GET("/me");
check(me.data?.credential === "api_key" && me.data.organization?.permissions?.[0] === "*", "the caller");
const session = await admin.POST("/session");
const cookie = session.response.headers.get("set-cookie")?.split(";")[0] ?? "";
check(cookie.startsWith("apiKeyCookie=ey"), "a session");
const page = createClient<paths>({ baseUrl, headers: { Cookie: cookie, "Sec-Fetch-Site": "same-origin" } });
check((await page.GET("/me")).data?.credential === "session", "in a session");
check((await page.DELETE("/session")).data?.message === "Signed out", "signing out");
check((await page.GET("/me")).response.status === 401, "signed out");
const token = await admin.POST("/tokens", { body: { audience: "storage", permissions: ["files:read"] } });
check(token.data?.token_type === "Bearer" && token.data.permissions[0] === "files:read", "a token");
const published = await createClient<paths>({ baseUrl }).GET("/.well-known/jwks.json");
check(published.data?.keys[0]?.crv === "Ed25519", "the keys that verify tokens");
const revoked = await createClient<paths>({ baseUrl }).GET("/.well-known/revoked", { parseAs: "text" });
check(revoked.data?.split(".").length === 3, "the list of revoked tokens");
console.log("TypeScript client: the quick start works");
