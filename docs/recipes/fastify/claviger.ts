// Asks Claviger whether the key of a request is valid. This file needs no framework: server.ts has the middleware.
//
// CLAVIGER_URL is the address of Claviger, CLAVIGER_KEY the key of this service, with the permission `api_keys:verify`.

import type { IncomingHttpHeaders } from "node:http";
import { isIP } from "node:net";
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

/** The key of a request: its id, name, organization, `external_id`, permissions, metadata and limits. */
export type ApiKey = components["schemas"]["Verdict"];

/** `apiKey`: the key is valid. `status`, `code`: refuse the request with them. Send the headers in both cases. */
export type Decision = { headers: Record<string, string> } & (
  { apiKey: ApiKey } | { apiKey: null; status: number; code: string }
);

const TIMEOUT_MS = 2000;
// A verdict with another code means 401.
const STATUSES: Record<string, number> = {
  ADDRESS_NOT_ALLOWED: 403,
  INSUFFICIENT_PERMISSIONS: 403,
  RATE_LIMITED: 429,
  USAGE_EXCEEDED: 429,
};

const { CLAVIGER_URL, CLAVIGER_KEY } = process.env;
if (!CLAVIGER_URL || !CLAVIGER_KEY) throw new Error("CLAVIGER_URL and CLAVIGER_KEY must be set");
// One client for all requests: `fetch` keeps its connections open.
const claviger = createClient<paths>({
  baseUrl: CLAVIGER_URL,
  headers: { Authorization: `Bearer ${CLAVIGER_KEY}` },
  redirect: "error",
});

/** Decides about a request from the address `ip`, which needs a key with the permission. Counts one use of the key. */
export async function authorize(
  headers: IncomingHttpHeaders,
  ip: string | undefined,
  permission: string,
): Promise<Decision> {
  const keys = new Set([/^bearer +(.+)$/i.exec(headers.authorization ?? "")?.[1], headers["x-api-key"]]);
  keys.delete(undefined);
  if (keys.size === 0) return refuse(401, "MISSING_API_KEY", { "WWW-Authenticate": 'Bearer realm="api"' });
  const [key] = keys;
  if (keys.size > 1 || typeof key !== "string" || !/^[!-~]{1,512}$/.test(key)) return refuseKey("INVALID_API_KEY");

  const verdict = await verify(key, ip?.split("%")[0] ?? "", permission).catch((error: Error) => {
    console.error(`Claviger cannot be asked: ${error.cause ?? error}`);
    return null;
  });
  if (verdict === null) return refuse(503, "UNAVAILABLE", { "Retry-After": "5" });
  if (verdict.valid) return { apiKey: verdict, headers: limitHeaders(verdict) };
  const status = STATUSES[verdict.code];
  if (status === undefined) return refuseKey(verdict.code);
  const retryAfter = verdict.rate_limit && { "Retry-After": `${verdict.rate_limit.reset}` };
  return refuse(status, verdict.code, { ...limitHeaders(verdict), ...retryAfter });
}

// Without a second attempt, because the first one may have counted a use.
async function verify(key: string, ip: string, permission: string): Promise<ApiKey> {
  const controller = new AbortController();
  const answered = claviger.POST("/api_keys/verify", {
    body: { key, permissions: [permission], context: { ip: isIP(ip) ? ip : null } },
    signal: controller.signal,
  });
  // A signal alone is not enough: Node.js may collect it as garbage while it reads the body, and then the time limit is lost.
  let timer: NodeJS.Timeout | undefined;
  const timedOut = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error("no answer within the time limit"));
      controller.abort();
    }, TIMEOUT_MS);
  });
  const { data, error, response } = await Promise.race([answered, timedOut]).finally(() => clearTimeout(timer));
  if (typeof data?.valid !== "boolean")
    throw new Error(`status ${response.status}, ${error?.message ?? "not a verdict"}`);
  return data;
}

function refuse(status: number, code: string, headers: Record<string, string>): Decision {
  return { apiKey: null, status, code, headers: { ...headers, "Cache-Control": "no-store" } };
}

function refuseKey(code: string): Decision {
  return refuse(401, code, { "WWW-Authenticate": 'Bearer realm="api", error="invalid_token"' });
}

/** The rate limit of the key, as draft-ietf-httpapi-ratelimit-headers has it, and in the older form. */
function limitHeaders({ rate_limit }: ApiKey): Record<string, string> {
  if (!rate_limit) return {};
  const { limit, remaining, reset } = rate_limit;
  return {
    "RateLimit-Policy": `"rate";q=${limit}`,
    RateLimit: `"rate";r=${remaining};t=${reset}`,
    "X-RateLimit-Limit": `${limit}`,
    "X-RateLimit-Remaining": `${remaining}`,
    "X-RateLimit-Reset": `${reset}`,
  };
}
