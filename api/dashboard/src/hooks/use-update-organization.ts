// Changing settings of an organization.

import { useQueryClient } from "@tanstack/react-query";
import { client, type Schemas, unwrap } from "../api/client.ts";
import { meQuery } from "../api/session.ts";

/** A function that changes an organization, and updates what the pages show of it. */
export function useUpdateOrganization(org: string) {
  const queries = useQueryClient();
  return async (body: Schemas["UpdateOrganizationRequest"]) => {
    const updated = await unwrap(client.PATCH("/orgs/{org_id}", { params: { path: { org_id: org } }, body }));
    queries.setQueryData(["org", org], updated);
    await queries.invalidateQueries({ queryKey: ["orgs"] });
    // The menu shows the name.
    if (body.name !== undefined) await queries.invalidateQueries({ queryKey: meQuery.queryKey });
  };
}
