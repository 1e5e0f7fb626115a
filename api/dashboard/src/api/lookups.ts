// What is read on more than one page.

import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { client, done, type Member, type PermissionSet, paged } from "./client.ts";

const FRESH = 30_000;

/** All permission sets of an organization; none for those who may not see them. */
export function useSets(org: string, may: boolean): PermissionSet[] {
  const { data } = useQuery({
    queryKey: ["sets", org],
    queryFn: async () => {
      const query = { limit: 1_000 };
      return (await paged(client.GET("/orgs/{org_id}/permission_sets", { params: { path: { org_id: org }, query } })))
        .items;
    },
    enabled: may,
    staleTime: FRESH,
  });
  return data ?? [];
}

/** A member of an organization; undefined until it is known, null where it is none. */
export function useMember(org: string, id: string | null, may: boolean): Member | null | undefined {
  const { data, isError } = useQuery({
    queryKey: ["member", org, id],
    queryFn: () =>
      done(client.GET("/orgs/{org_id}/members/{user_id}", { params: { path: { org_id: org, user_id: id ?? "" } } })),
    enabled: may && id !== null,
    staleTime: FRESH,
    retry: false,
  });
  return isError ? null : data;
}

/** A key of an organization. */
export function useKey(org: string, id: string, may = true) {
  return useQuery({
    queryKey: ["key", org, id],
    queryFn: () =>
      done(client.GET("/orgs/{org_id}/api_keys/{key_id}", { params: { path: { org_id: org, key_id: id } } })),
    enabled: may && id !== "",
    retry: false,
  });
}

export type Step = "hour" | "day";

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
    staleTime: FRESH,
    placeholderData: keepPreviousData,
  });
}
