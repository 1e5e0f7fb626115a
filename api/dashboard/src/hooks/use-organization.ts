// The organization of the current page, and what the caller can do in it.

import { useQuery } from "@tanstack/react-query";
import { useParams } from "react-router";
import { client, type Key, type Schemas, type ServicePermission, unwrap } from "../api/client.ts";
import { platformOf } from "../api/session.ts";
import { holds } from "../lib/permissions.ts";
import { useMe } from "./use-me.ts";

export function useOrganization() {
  const { org = "" } = useParams();
  return useOrganizationOf(org);
}

/** As `useOrganization`, outside of the pages of an organization. */
export function useOrganizationOf(org: string) {
  const me = useMe();
  const own = me.organizations.find((organization) => organization.id === org);
  const platform = platformOf(me);
  const organizations = [own, platform].filter((one) => one !== undefined && one !== null);
  // Null: the permissions are too many to be listed, so only the service knows them.
  const isKnown = organizations.every((one) => one.permissions !== null);
  const held = isKnown ? [...new Set(organizations.flatMap((one) => one.permissions ?? []))] : null;
  /** Whether the caller has a permission in the organization, or may have it. */
  const can = (permission: ServicePermission) => held === null || holds(held, permission);
  const user = own?.user_id ?? null;
  return {
    org,
    /** The caller's permissions in the organization; null: unknown. */
    held,
    /** The caller's user id in the organization, if there is one. */
    user,
    isPlatform: platform !== null,
    /** Whether the caller belongs to the organization, or is of the platform. */
    isKnown: own !== undefined || platform !== null || me.organization?.id === org,
    can,
    /** Whether the caller has keys of their own user, and can see them. */
    hasOwnKeys: user !== null && can("own_api_keys:read"),
    /** Whether the caller can create keys of their own user. */
    canCreateOwnKeys: user !== null && (can("api_keys:write") || can("own_api_keys:write")),
    /** Whether the caller can change a key. */
    canChangeKey: (key: Key) =>
      can("api_keys:write") || (user !== null && key.user_id === user && can("own_api_keys:write")),
    /** The page with the keys that the caller can see. */
    keysPath: can("api_keys:read") ? `/orgs/${org}/keys` : `/orgs/${org}/my-keys`,
  };
}

/** The text that is shown as the name of an organization. */
export function organizationName({ name, kind }: Pick<Schemas["Organization"], "name" | "kind">): string {
  return name ?? (kind === "platform" ? "Platform" : "Unnamed organization");
}

/** The display name of the organization with this id. */
export function useOrganizationName(org: string): string {
  const me = useMe();
  const known = me.organizations.find((organization) => organization.id === org);
  const { data } = useQuery({
    queryKey: ["org", org],
    queryFn: () => unwrap(client.GET("/orgs/{org_id}", { params: { path: { org_id: org } } })),
    enabled: known === undefined && org !== "",
    staleTime: 60_000,
    retry: false,
  });
  return organizationName({ name: known?.name ?? data?.name ?? null, kind: known?.kind ?? data?.kind ?? "tenant" });
}
