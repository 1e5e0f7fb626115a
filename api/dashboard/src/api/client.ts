// Calls to the REST API: a typed client that is generated from the OpenAPI document, and the errors that calls throw.

import createClient from "openapi-fetch";
import { BASE_PATH } from "../lib/service-url.ts";
import { noteAnswer } from "./connection.ts";
import type { components, operations, paths } from "./schema";

export type Schemas = components["schemas"];
export type Key = Schemas["ApiKey"];
export type Me = Schemas["Caller"];
export type Member = Schemas["Member"];
export type ActiveSession = Schemas["ActiveSession"];
export type Invitation = Schemas["Invitation"];
export type CreatedInvitation = Schemas["CreatedInvitation"];
export type SignInOptions = Schemas["SignInOptions"];
export type InvitationPreview = Schemas["InvitationPreview"];
export type PermissionSet = Schemas["PermissionSet"];
export type KeyPolicy = Schemas["KeyPolicy"];
export type AuditEvent = Schemas["AuditEvent"];
export type AuditAction = Schemas["AuditAction"];
export type AuditReason = Schemas["AuditReason"];
export type AuditOutcome = Schemas["AuditOutcome"];
export type Usage = Schemas["Usage"];
export type UsageOutcome = Schemas["UsageOutcome"];
export type TopUsageItem = Schemas["TopUsageItem"];
export type Verdict = Schemas["Verdict"];
export type VerdictCode = Schemas["VerdictCode"];
export type DenyCode = Schemas["DenyCode"];
export type ServicePermission = Schemas["ServicePermission"];
/** Filters and order of a list of keys. */
export type KeyQuery = NonNullable<operations["listApiKeys"]["parameters"]["query"]>;

export const client = createClient<paths>({
  baseUrl: BASE_PATH,
  // The session is in a cookie of this origin. The browser caches nothing: every response has `no-store`.
  credentials: "same-origin",
  // Looked up on each call, so that tests can replace it after the page was loaded.
  fetch: (request) => fetch(request),
});

/** The reason of an error. `no_answer`: the service did not answer. `unknown`: a response without a reason, as proxies send. */
export type Reason = Schemas["ErrorReason"] | "no_answer" | "unknown";

/** A call that failed. */
export class ApiError extends Error {
  constructor(
    readonly reason: Reason,
    /** The message of the service. */
    message: string,
    /** What is wrong with each invalid field. */
    readonly fields: Record<string, string> = {},
    /** Id of the request in the log of the service. */
    readonly requestId: string | null = null,
  ) {
    super(message);
  }
}

/** Whether an error is an {@link ApiError} with one of these reasons. */
export function hasReason(error: unknown, ...reasons: Reason[]): error is ApiError {
  return error instanceof ApiError && reasons.includes(error.reason);
}

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** The data of a successful response, and the cursor of the next page if there is one. Throws {@link ApiError}. */
export async function unwrapPage<T>(call: Promise<Answer<T>>): Promise<{ items: T; next: string | null }> {
  const answer = await succeeded(call);
  return { items: answer.data as T, next: nextCursor(answer.response.headers.get("link")) };
}

/** The data of a successful response. Throws {@link ApiError}. */
export async function unwrap<T>(call: Promise<Answer<T>>): Promise<T> {
  return (await succeeded(call)).data as T;
}

/** The number of items on all pages of a list, if it was requested; null: it was not. */
export async function unwrapTotal<T>(call: Promise<Answer<T>>): Promise<number | null> {
  const total = (await succeeded(call)).response.headers.get("total-count");
  return total === null ? null : Number(total);
}

async function succeeded<T>(call: Promise<Answer<T>>): Promise<Answer<T>> {
  const answer = await call.catch((cause: unknown) => {
    if (cause instanceof DOMException && cause.name === "AbortError") throw cause;
    noteAnswer(false);
    throw new ApiError("no_answer", "no answer");
  });
  noteAnswer(true);
  if (!answer.response.ok) throw toApiError(answer.error, answer.response);
  return answer;
}

function toApiError(error: unknown, response: Response): ApiError {
  const body = (typeof error === "object" && error !== null ? error : {}) as Partial<Schemas["ApiError"]>;
  const fields = Object.entries(body.fields ?? {}).map(([name, sentence]) => [name, String(sentence)]);
  const requestId = body.request_id ?? response.headers.get("x-request-id");
  const message = body.message ?? response.statusText;
  return new ApiError(body.reason ?? "unknown", message, Object.fromEntries(fields), requestId);
}

/** The cursor in `Link: <…?cursor=…>; rel="next"` (RFC 8288). */
export function nextCursor(link: string | null): string | null {
  const target = /<([^>]*)>;\s*rel="next"/.exec(link ?? "")?.[1];
  return target === undefined ? null : new URL(target, "http://here").searchParams.get("cursor");
}

/** A new idempotency key: a request that is sent twice with it is executed once. */
export function idempotencyKeyHeader(): { "Idempotency-Key": string } {
  // Not `randomUUID`, which browsers have only over https.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return { "Idempotency-Key": Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("") };
}

/** The reasons of a caller that is not signed in. */
export const SIGNED_OUT: Reason[] = ["unauthenticated", "invalid_credential"];

/** Event of the window: a response showed that the session has ended. */
export const SESSION_ENDED = "sessionended";

/** Operations at which a wrong credential ends no session: it is sent to sign in, or to find out who is signed in. */
const UNRELATED_TO_SESSION: ReadonlySet<string> = new Set(["/me", "/session", "/invitations/redeem"]);

client.use({
  async onResponse({ response, schemaPath }) {
    if (response.ok || UNRELATED_TO_SESSION.has(schemaPath)) return;
    const body: unknown = await response
      .clone()
      .json()
      .catch(() => null);
    if (hasReason(toApiError(body, response), ...SIGNED_OUT)) window.dispatchEvent(new Event(SESSION_ENDED));
  },
});
