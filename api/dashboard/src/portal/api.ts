// Calls of the portal. The token of the session is only in the memory of this page: no cookie and no storage has it, so no
// other page can use it.

import createClient from "openapi-fetch";
import { ApiError, hasReason, type Schemas, unwrap } from "../api/client.ts";
import type { paths } from "../api/schema";
import { BASE_PATH } from "../lib/service-url.ts";

export type Session = Schemas["PortalSession"];
export type PortalKey = Schemas["PortalKey"];
export type CreatedPortalKey = Schemas["CreatedPortalKey"];
export type PortalAction = Schemas["PortalAction"];

/** The typed client of a session. */
export type PortalClient = ReturnType<typeof createClient<paths>>;

const create = (headers: Record<string, string>): PortalClient =>
  createClient<paths>({ baseUrl: BASE_PATH, credentials: "omit", headers, fetch: (request) => fetch(request) });

export interface OpenSession {
  session: Session;
  client: PortalClient;
}

/** Exchanges the secret of the link for a session. The service accepts it once. */
export async function openSession(secret: string): Promise<OpenSession> {
  if (secret === "") throw new ApiError("portal_link_not_found", "There is no secret in the address of this page");
  const { token, ...session } = await unwrap(create({}).POST("/portal/session", { body: { secret } }));
  return { session, client: create({ Authorization: `Bearer ${token}` }) };
}

/** Whether an error says that the session has ended. */
export function hasEnded(error: unknown): boolean {
  return hasReason(error, "portal_session_required");
}

/** The most keys that the page shows: a session allows at most as many to be created. */
export const MAX_SHOWN = 100;

/** The newest keys of the customer. */
export function listKeys(client: PortalClient): Promise<PortalKey[]> {
  return unwrap(client.GET("/portal/api_keys", { params: { query: { limit: MAX_SHOWN } } }));
}
