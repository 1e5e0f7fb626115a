// The session: the signed-in caller, and its end.

import { type QueryClient, queryOptions } from "@tanstack/react-query";
import { forgetDrafts } from "../hooks/use-draft.ts";
import { client, hasReason, type Me, SIGNED_OUT, unwrap } from "./client.ts";

/** The signed-in caller; null: not signed in. */
export const meQuery = queryOptions({
  queryKey: ["me"],
  queryFn: async (): Promise<Me | null> => {
    try {
      return await unwrap(client.GET("/me"));
    } catch (error) {
      if (hasReason(error, ...SIGNED_OUT)) return null;
      throw error;
    }
  },
  staleTime: Number.POSITIVE_INFINITY,
});

/** Number of new secrets on the screen. The end of a session must not hide them: they cannot be shown again. */
let visibleSecrets = 0;

/** Keeps the page open while a new secret is on the screen. Returns the function that ends this. */
export function keepPageOpen(): () => void {
  visibleSecrets += 1;
  return () => {
    visibleSecrets -= 1;
  };
}

/** Query key of whether the last session ended without signing out. The sign-in page shows it. */
export const HAS_EXPIRED = ["session expired"];

/** Removes all data of the session and shows the sign-in page. `hasExpired`: the session ended without signing out. */
export function endSession(queries: QueryClient, hasExpired: boolean): void {
  if (visibleSecrets > 0) return;
  if (!hasExpired) forgetDrafts();
  const others = { predicate: ({ queryKey }: { queryKey: readonly unknown[] }) => queryKey[0] !== meQuery.queryKey[0] };
  void queries.cancelQueries(others);
  queries.removeQueries(others);
  queries.setQueryData(meQuery.queryKey, null);
  queries.setQueryData(HAS_EXPIRED, hasExpired);
}

/** Signs out, here and at the identity provider of the caller, if it has a page for that. */
export async function signOut(queries: QueryClient): Promise<void> {
  let logoutUrl: string | null = null;
  try {
    logoutUrl = (await unwrap(client.DELETE("/session"))).logout_url;
  } catch (error) {
    // The session has ended already.
    if (!hasReason(error, ...SIGNED_OUT, "not_found")) throw error;
  }
  endSession(queries, false);
  if (logoutUrl !== null) window.location.assign(logoutUrl);
}

/** The platform's organization, if the caller acts in it: such callers have access to all organizations. */
export function platformOf(me: Me) {
  return [...me.organizations, me.organization].find((organization) => organization?.kind === "platform") ?? null;
}

/** The only organization of the caller; undefined: there are several or none, it is not accepted, or it is the platform's. */
export function onlyOrganization(me: Me): string | undefined {
  const only = me.organizations.length === 1 ? me.organizations[0] : undefined;
  return only?.accepted === true && only.kind !== "platform" ? only.id : undefined;
}

/** The first page after signing in: the keys of the only organization, or the list of organizations. */
export function homePath(me: Me): string {
  const only = me.organizations.length === 1 ? me.organizations[0] : me.organization;
  if (only === undefined || only === null || only.kind === "platform" || !only.accepted) return "/organizations";
  return `/orgs/${only.id}/keys`;
}
