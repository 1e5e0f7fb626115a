// Who is signed in, where they are, and what they may do there.

import { type QueryClient, queryOptions, useQuery } from "@tanstack/react-query";
import { createContext, useContext } from "react";
import { useParams } from "react-router";
import { client, done, type Me, Problem } from "./api/client.ts";
import { holds } from "./rules/permissions.ts";

/** Null: nobody is signed in. */
export const whoIs = queryOptions({
  queryKey: ["me"],
  queryFn: async (): Promise<Me | null> => {
    try {
      return await done(client.GET("/me"));
    } catch (problem) {
      if (problem instanceof Problem && problem.status === 401) return null;
      throw problem;
    }
  },
  staleTime: Number.POSITIVE_INFINITY,
});

/** How many secrets are in view. They are not to vanish because a session ends. */
let shown = 0;

/** Keeps the page as it is while a secret is in view; answers what ends that. */
export function keepInView(): () => void {
  shown += 1;
  return () => {
    shown -= 1;
  };
}

/** What is known at the door: whether a session has ended by itself. */
export const ENDED = ["session ended"];

/** Forgets all that was seen, and goes to the door. */
export function leave(queries: QueryClient, hasEnded: boolean): void {
  if (shown > 0) return;
  const isSeen = { predicate: ({ queryKey }: { queryKey: readonly unknown[] }) => queryKey[0] !== whoIs.queryKey[0] };
  void queries.cancelQueries(isSeen);
  queries.removeQueries(isSeen);
  queries.setQueryData(whoIs.queryKey, null);
  queries.setQueryData(ENDED, hasEnded);
}

export const SignedIn = createContext<Me | null>(null);

export function useMe(): Me {
  const me = useContext(SignedIn);
  if (me === null) throw new Error("used outside of a session");
  return me;
}

/** The platform's organization, where one may act in it: its callers act in every other, too. */
export function platformOf(me: Me) {
  return [...me.organizations, me.organization].find((place) => place?.kind === "platform") ?? null;
}

/** The organization that the page is about, and what the caller may do in it. */
export function useOrganization() {
  const me = useMe();
  const { org = "" } = useParams();
  const own = me.organizations.find((place) => place.id === org);
  const platform = platformOf(me);
  // Null is more than can be listed: then the service alone knows.
  const places = [own, platform].filter((place) => place !== undefined && place !== null);
  const isKnown = places.every((place) => place.permissions !== null);
  const held = isKnown ? [...new Set(places.flatMap((place) => place.permissions ?? []))] : null;
  return {
    org,
    held,
    isPlatform: platform !== null,
    /** Whether the caller holds a permission here. */
    can: (permission: string) => held === null || holds(held, permission),
  };
}

/** What an organization is called. */
export function useOrganizationName(org: string): string {
  const me = useMe();
  const known = me.organizations.find((place) => place.id === org);
  const { data } = useQuery({
    queryKey: ["org", org],
    queryFn: () => done(client.GET("/orgs/{org_id}", { params: { path: { org_id: org } } })),
    enabled: known === undefined && org !== "",
    staleTime: 60_000,
    retry: false,
  });
  return known?.name ?? data?.name ?? (known?.kind === "platform" ? "Platform" : "Unnamed organization");
}

/** Where one begins: the only organization, or where one chooses. */
export function home(me: Me): string {
  const only = me.organizations.length === 1 ? me.organizations[0] : me.organization;
  if (only === undefined || only === null || only.kind === "platform") return "/organizations";
  return `/orgs/${only.id}/keys`;
}
