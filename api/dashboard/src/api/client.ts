// Calls to the REST API: the typed client made from the OpenAPI document, and what is thrown where there is no success.

import createClient from "openapi-fetch";
import type { components, operations, paths } from "./schema";

export type Schemas = components["schemas"];
export type Key = Schemas["ApiKey"];
export type Me = Schemas["Me"];
export type Member = Schemas["Member"];
export type PermissionSet = Schemas["PermissionSet"];
export type AuditEvent = Schemas["AuditEvent"];
export type Usage = Schemas["Usage"];
/** Which keys a list has, and in which order. */
export type KeyQuery = NonNullable<operations["listApiKeys"]["parameters"]["query"]>;
export type Verdict = Schemas["Verdict"];

export const client = createClient<paths>({
  baseUrl: "",
  // The session is in a cookie of this origin. Nothing is kept by the browser: every answer says `no-store`.
  credentials: "same-origin",
  // Looked up on each call, so that a page that was just loaded is not bound to what it found.
  fetch: (request) => fetch(request),
});

/** Why there was no success. */
export class Problem extends Error {
  constructor(
    /** The status of HTTP; 0 where there was no answer. */
    readonly status: number,
    /** What the service said. */
    message: string,
    /** What is wrong with which field. */
    readonly fields: Record<string, string> = {},
    /** What the service's log calls the request. */
    readonly requestId: string | null = null,
  ) {
    super(message);
  }
}

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** What is in a successful answer, with the cursor of the next page where there is one. Throws a {@link Problem}. */
export async function paged<T>(call: Promise<Answer<T>>): Promise<{ items: T; next: string | null }> {
  const answer = await reached(call);
  return { items: answer.data as T, next: nextCursor(answer.response.headers.get("link")) };
}

/** What is in a successful answer. Throws a {@link Problem}. */
export async function done<T>(call: Promise<Answer<T>>): Promise<T> {
  return (await reached(call)).data as T;
}

async function reached<T>(call: Promise<Answer<T>>): Promise<Answer<T>> {
  const answer = await call.catch((cause: unknown) => {
    if (cause instanceof DOMException && cause.name === "AbortError") throw cause;
    throw new Problem(0, "no answer");
  });
  if (!answer.response.ok) throw problem(answer);
  return answer;
}

function problem({ error, response }: Answer<unknown>): Problem {
  const body = (typeof error === "object" && error !== null ? error : {}) as Partial<Schemas["Error"]>;
  const fields = Object.entries(body.fields ?? {}).map(([name, wrong]) => [name, String(wrong)]);
  const requestId = body.request_id ?? response.headers.get("x-request-id");
  return new Problem(response.status, body.message ?? response.statusText, Object.fromEntries(fields), requestId);
}

/** The cursor in `Link: <…?cursor=…>; rel="next"` (RFC 8288). */
export function nextCursor(link: string | null): string | null {
  const target = /<([^>]*)>;\s*rel="next"/.exec(link ?? "")?.[1];
  return target === undefined ? null : new URL(target, "http://here").searchParams.get("cursor");
}

/** A word by which the service knows a request again that was sent twice. */
export function once(): { "Idempotency-Key": string } {
  // Not `randomUUID`, which browsers have on https alone.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return { "Idempotency-Key": Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("") };
}

/** Said by the window when an answer shows that the session has ended. */
export const SESSION_ENDED = "sessionended";

client.use({
  onResponse({ response, schemaPath }) {
    // At the door a 401 is an answer like any other.
    const isAtTheDoor = schemaPath === "/me" || schemaPath === "/session";
    if (response.status === 401 && !isAtTheDoor) window.dispatchEvent(new Event(SESSION_ENDED));
  },
});
