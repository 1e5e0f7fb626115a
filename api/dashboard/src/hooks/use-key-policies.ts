// The policies that apply to keys with some permission sets, as far as the caller can read them.

import { useQuery } from "@tanstack/react-query";
import { client, type KeyPolicy, type PermissionSet, unwrap } from "../api/client.ts";
import { NAME_STALE_TIME } from "../api/queries.ts";
import { useOrganization } from "./use-organization.ts";

/** The policy of the organization and those of the sets with these ids; the service checks those that the caller cannot read. */
export function useKeyPolicies(sets: PermissionSet[], chosenSets: readonly string[]): KeyPolicy[] {
  const { org, can } = useOrganization();
  const { data } = useQuery({
    queryKey: ["org", org],
    queryFn: () => unwrap(client.GET("/orgs/{org_id}", { params: { path: { org_id: org } } })),
    enabled: can("org:read") && org !== "",
    staleTime: NAME_STALE_TIME,
  });
  const ofSets = sets.filter((set) => chosenSets.includes(set.id)).map((set) => set.key_policy);
  return [data?.key_policy ?? null, ...ofSets].filter((policy) => policy !== null);
}
