// What is read on more than one page.

import { useQuery } from "@tanstack/react-query";
import type { Step } from "../rules/time.ts";
import { client, done, type KeyQuery, type Member, type PermissionSet, paged } from "./client.ts";

/** For how long a name that was looked up is good enough, in ms. */
export const FRESH = 30_000;

/** All permission sets of an organization. */
export function useSetList(org: string, may: boolean) {
  return useQuery({
    queryKey: ["sets", org],
    queryFn: async ({ signal }) => {
      const params = { path: { org_id: org }, query: { limit: 1_000 } };
      return (await paged(client.GET("/orgs/{org_id}/permission_sets", { params, signal }))).items;
    },
    enabled: may,
    staleTime: FRESH,
  });
}

/** The same for those who only want to know what sets are called: none while it is not known. */
export function useSets(org: string, may: boolean): PermissionSet[] {
  return useSetList(org, may).data ?? [];
}

/** A page of the members of an organization. */
export function useMembers(org: string, after: string | undefined, may: boolean) {
  return useQuery({
    queryKey: ["members", org, after],
    queryFn: ({ signal }) => {
      const params = { path: { org_id: org }, query: { limit: 50, cursor: after } };
      return paged(client.GET("/orgs/{org_id}/members", { params, signal }));
    },
    enabled: may,
  });
}

/** A member of an organization; undefined until it is known, null where it is none. */
export function useMember(org: string, id: string | null, may: boolean): Member | null | undefined {
  const { data, isError } = useQuery({
    queryKey: ["member", org, id],
    queryFn: ({ signal }) => {
      const path = { org_id: org, user_id: id ?? "" };
      return done(client.GET("/orgs/{org_id}/members/{user_id}", { params: { path }, signal }));
    },
    enabled: may && id !== null,
    staleTime: FRESH,
    retry: false,
  });
  return isError ? null : data;
}

/** Some keys of an organization. */
export function useKeys(org: string, query: KeyQuery, may = true) {
  return useQuery({
    queryKey: ["keys", org, query],
    queryFn: ({ signal }) =>
      paged(client.GET("/orgs/{org_id}/api_keys", { params: { path: { org_id: org }, query }, signal })),
    enabled: may,
  });
}

/** A key of an organization. */
export function useKey(org: string, id: string, may = true, staleTime = 0) {
  return useQuery({
    queryKey: ["key", org, id],
    queryFn: ({ signal }) => {
      const path = { org_id: org, key_id: id };
      return done(client.GET("/orgs/{org_id}/api_keys/{key_id}", { params: { path }, signal }));
    },
    enabled: may && id !== "",
    staleTime,
    retry: false,
  });
}

/** Verifies of a key, or of all keys of an organization. */
export function useUsage(org: string, key: string | null, by: Step, from: string) {
  return useQuery({
    queryKey: ["usage", org, key, by, from],
    queryFn: () => {
      const query = { by, from };
      return key === null
        ? done(client.GET("/orgs/{org_id}/usage", { params: { path: { org_id: org }, query } }))
        : done(
            client.GET("/orgs/{org_id}/api_keys/{key_id}/usage", {
              params: { path: { org_id: org, key_id: key }, query },
            }),
          );
    },
  });
}
