// Queries that several pages share.

import { useQuery } from "@tanstack/react-query";
import { type Granularity, MINUTE } from "../lib/time.ts";
import { client, type KeyQuery, type Member, type PermissionSet, unwrap, unwrapPage, unwrapTotal } from "./client.ts";
import type { operations } from "./schema";

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

/** The number of keys that match filters: exact up to {@link MAX_COUNTED}, and more than that if there are more. */
export function useKeyCount(org: string, query: KeyQuery, canRead = true): number | undefined {
  const { data } = useQuery({
    queryKey: ["keys", org, "count", query],
    queryFn: ({ signal }) => {
      const params = { path: { org_id: org }, query: { ...query, limit: 1, total: true } };
      return unwrapTotal(client.GET("/orgs/{org_id}/api_keys", { params, signal }));
    },
    enabled: canRead,
    staleTime: NAME_STALE_TIME,
  });
  return data ?? undefined;
}

/** The most keys, members or other holders that the service counts. */
export const MAX_COUNTED = 10_000;

/** A number that the service counted: "121", or "more than 10,000". */
export function formatCounted(count: number): string {
  return count > MAX_COUNTED ? `more than ${MAX_COUNTED.toLocaleString("en")}` : count.toLocaleString("en");
}

/** A key of an organization, also if it is revoked and can be restored. */
export function useKey(org: string, id: string, canRead = true, staleTime = 0) {
  return useQuery({
    queryKey: ["key", org, id],
    queryFn: ({ signal }) => {
      const params = { path: { org_id: org, key_id: id }, query: { include_deleted: true } };
      return unwrap(client.GET("/orgs/{org_id}/api_keys/{key_id}", { params, signal }));
    },
    enabled: canRead && id !== "",
    staleTime,
    retry: false,
  });
}

/** When a revoked key was revoked, and by whom. */
export function useDeletion(org: string, id: string) {
  return useQuery({
    queryKey: ["key", org, id, "deletion"],
    queryFn: ({ signal }) => {
      const path = { org_id: org, key_id: id };
      return unwrap(client.GET("/orgs/{org_id}/api_keys/{key_id}/deletion", { params: { path }, signal }));
    },
    retry: false,
  });
}

/** How many keys and members have a permission set. */
export function useSetHolders(org: string, id: string | null) {
  return useQuery({
    queryKey: ["sets", org, id, "holders"],
    queryFn: ({ signal }) => {
      const path = { org_id: org, set_id: id ?? "" };
      return unwrap(client.GET("/orgs/{org_id}/permission_sets/{set_id}/holders", { params: { path }, signal }));
    },
    enabled: id !== null,
  });
}

/** The usage of a key, or of all keys of an organization if `keyId` is null. */
export function useUsage(
  org: string,
  keyId: string | null,
  by: Granularity,
  from: string,
  until?: string,
  isEnabled = true,
) {
  return useQuery({
    queryKey: ["usage", org, keyId, by, from, until],
    queryFn: () => {
      const query = { by, from, ...(until !== undefined && { until }) };
      if (keyId === null) {
        return unwrap(client.GET("/orgs/{org_id}/usage", { params: { path: { org_id: org }, query } }));
      }
      const params = { path: { org_id: org, key_id: keyId }, query };
      return unwrap(client.GET("/orgs/{org_id}/api_keys/{key_id}/usage", { params }));
    },
    enabled: isEnabled,
  });
}

/** Which verifications are ranked, by what, and since when. */
export type TopUsageQuery = NonNullable<operations["listTopUsage"]["parameters"]["query"]>;

/** The keys, owners or external ids with the most verifications. It may read many counts, so it is not read again at once. */
export function useTopUsage(org: string, query: TopUsageQuery) {
  return useQuery({
    queryKey: ["top-usage", org, query],
    queryFn: ({ signal }) =>
      unwrap(client.GET("/orgs/{org_id}/usage/top", { params: { path: { org_id: org }, query }, signal })),
    staleTime: MINUTE,
  });
}
