// The verifications of the keys of a page, in one request.

import { useQuery } from "@tanstack/react-query";
import { client, unwrap } from "../api/client.ts";
import { MINUTE } from "../lib/time.ts";

/** The most keys whose usage one request returns. */
const MAX_KEYS = 100;

/**
 * The verifications of these keys, valid and refused, on each of the last 7 days (UTC), by the id of the key. Of more than 100 keys
 * only the first have an entry. Undefined: not loaded, or not available.
 */
export function useKeysUsage(org: string, keyIds: string[]): Map<string, number[]> | undefined {
  const ids = keyIds.slice(0, MAX_KEYS).join(",");
  const { data } = useQuery({
    queryKey: ["keys-usage", org, ids],
    queryFn: async ({ signal }) => {
      const params = { path: { org_id: org }, query: { ids } };
      const { keys } = await unwrap(client.GET("/orgs/{org_id}/usage/api_keys", { params, signal }));
      return new Map(
        keys.map(({ id, valid, refused }) => [id, valid.map((count, day) => count + (refused[day] ?? 0))]),
      );
    },
    enabled: ids !== "",
    staleTime: MINUTE,
  });
  return data;
}
