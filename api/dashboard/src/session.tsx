// Who is signed in, where they are, and what they may do there.

import { queryOptions, useQuery } from "@tanstack/react-query";
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

export const SignedIn = createContext<Me | null>(null);

export function useMe(): Me {
  const me = useContext(SignedIn);
  if (me === null) throw new Error("used outside of a session");
  return me;
}

/** The organization that the page is about, and what the caller may do in it. */
export function useOrganization() {
  const me = useMe();
  const { org = "" } = useParams();
  const isPlatform = me.organization?.kind === "platform";
  const own = me.organizations.find((place) => place.id === org);
  const place = own ?? (isPlatform ? me.organization : null);
  // Null is more than can be listed: then the service alone knows.
  const held = place === null || place === undefined ? [] : place.permissions;
  return {
    org,
    held,
    isPlatform,
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
