// Queries that several pages share.

import { useQuery } from "@tanstack/react-query";
import type { Granularity } from "../lib/time.ts";
import { client, type KeyQuery, type Member, type PermissionSet, unwrap, unwrapPage } from "./client.ts";

/** How long a name is used before it is read again, in ms. */
export const NAME_STALE_TIME = 30_000;

/** All permission sets of an organization. `canRead`: whether the caller has the permission to read them. */
export function useSetList(org: string, canRead: boolean) {
  return useQuery({
    queryKey: ["sets", org],
    queryFn: async ({ signal }) => {
      const params = { path: { org_id: org }, query: { limit: 1_000 } };
      return (await unwrapPage(client.GET("/orgs/{org_id}/permission_sets", { params, signal }))).items;
    },
    enabled: canRead,
    staleTime: NAME_STALE_TIME,
  });
}

/** All permission sets of an organization; empty until they are loaded, and if the caller cannot read them. */
export function useSets(org: string, canRead: boolean): PermissionSet[] {
  return useSetList(org, canRead).data ?? [];
}

/** A page of the members of an organization. */
export function useMembers(org: string, cursor: string | undefined, canRead: boolean) {
  return useQuery({
    queryKey: ["members", org, cursor],
    queryFn: ({ signal }) => {
      const params = { path: { org_id: org }, query: { limit: 50, cursor } };
      return unwrapPage(client.GET("/orgs/{org_id}/members", { params, signal }));
    },
    enabled: canRead,
  });
}

/** The open invitations and recovery links of an organization, of which there are at most 100. */
export function useInvitations(org: string, canRead: boolean) {
  return useQuery({
    queryKey: ["invitations", org],
    queryFn: ({ signal }) => {
      const params = { path: { org_id: org }, query: { limit: 100 } };
      return unwrapPage(client.GET("/orgs/{org_id}/invitations", { params, signal }));
    },
    enabled: canRead,
  });
}

/** A member of an organization; undefined until it is loaded, null if there is none with this id. */
export function useMember(org: string, id: string | null, canRead: boolean): Member | null | undefined {
  const { data, isError } = useQuery({
    queryKey: ["member", org, id],
    queryFn: ({ signal }) => {
      const path = { org_id: org, user_id: id ?? "" };
      return unwrap(client.GET("/orgs/{org_id}/members/{user_id}", { params: { path }, signal }));
    },
    enabled: canRead && id !== null,
    staleTime: NAME_STALE_TIME,
    retry: false,
  });
  return isError ? null : data;
}

/** A page of the keys of an organization. */
export function useKeys(org: string, query: KeyQuery, canRead = true) {
  return useQuery({
    queryKey: ["keys", org, query],
    queryFn: ({ signal }) =>
      unwrapPage(client.GET("/orgs/{org_id}/api_keys", { params: { path: { org_id: org }, query }, signal })),
    enabled: canRead,
  });
}

/** A key of an organization. */
export function useKey(org: string, id: string, canRead = true, staleTime = 0) {
  return useQuery({
    queryKey: ["key", org, id],
    queryFn: ({ signal }) => {
      const path = { org_id: org, key_id: id };
      return unwrap(client.GET("/orgs/{org_id}/api_keys/{key_id}", { params: { path }, signal }));
    },
    enabled: canRead && id !== "",
    staleTime,
    retry: false,
  });
}

/** The usage of a key, or of all keys of an organization if `keyId` is null. */
export function useUsage(org: string, keyId: string | null, by: Granularity, from: string) {
  return useQuery({
    queryKey: ["usage", org, keyId, by, from],
    queryFn: () => {
      const query = { by, from };
      if (keyId === null) {
        return unwrap(client.GET("/orgs/{org_id}/usage", { params: { path: { org_id: org }, query } }));
      }
      const params = { path: { org_id: org, key_id: keyId }, query };
      return unwrap(client.GET("/orgs/{org_id}/api_keys/{key_id}/usage", { params }));
    },
  });
}
