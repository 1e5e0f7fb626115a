// Permissions as the service compares them: an action on a resource, either of which may be `*` (docs/CONTRACTS.md). The
// service decides; the dashboard uses the same rules to check the form while it is being filled in.

import type { ServicePermission } from "../api/client.ts";

export interface Permission {
  resource: string;
  action: string;
}

export const ANY = "*";

const TOKEN = /^(\*|[A-Za-z0-9_.-]{1,64})$/;

/** What the permissions of the service allow, as the end of a sentence that begins with "can". */
const SERVICE_PERMISSIONS: Record<ServicePermission, string> = {
  "api_keys:read": "see keys and their usage",
  "api_keys:write": "create, change and revoke keys",
  "api_keys:verify": "verify keys",
  "own_api_keys:read": "see the user's own keys",
  "own_api_keys:write": "create, change and revoke the user's own keys",
  "org:read": "see the organization",
  "org:admin": "change the organization, set limits of keys",
  "members:read": "see the members",
  "members:admin": "add, change and remove members",
  "permission_sets:read": "see permission sets",
  "permission_sets:admin": "create, change and delete permission sets",
  "trust_rules:read": "see trust rules",
  "trust_rules:admin": "create, change and delete trust rules",
  "portal_sessions:write": "open the portal for customers, who manage their keys there",
  "audit:read": "read the audit log",
  "*": "do everything, including managing keys, members and the organization",
};

/** The permissions on a resource of the service. */
export const SERVICE_RESOURCE_PERMISSIONS = (Object.keys(SERVICE_PERMISSIONS) as ServicePermission[]).filter(
  (permission) => permission !== ANY,
);

const SERVICE_RESOURCES = [...groupByResource(SERVICE_RESOURCE_PERMISSIONS).keys()];

/** The resources of the service that only permissions that name them, and `*`, include. */
const EXPLICIT_RESOURCES = SERVICE_RESOURCES.filter((resource) => !["api_keys", "own_api_keys"].includes(resource));

/** Parses `read`, `files:read` or `*`. Null: not a permission. */
export function parsePermission(text: string): Permission | null {
  const at = text.indexOf(":");
  const [resource, action] = at < 0 ? [ANY, text] : [text.slice(0, at), text.slice(at + 1)];
  return TOKEN.test(resource) && TOKEN.test(action) ? { resource, action } : null;
}

/** The shortest form of a permission. */
export function formatPermission({ resource, action }: Permission): string {
  return resource === ANY ? action : `${resource}:${action}`;
}

/** Whether one of the permissions in `held` includes `wanted`. A text that is not a permission is never included. */
export function holds(held: readonly string[], wanted: string): boolean {
  const asked = parsePermission(wanted);
  if (asked === null) return false;
  return held.some((text) => {
    const own = parsePermission(text);
    if (own === null || (own.action !== ANY && own.action !== asked.action)) return false;
    if (own.resource === asked.resource) return true;
    return own.resource === ANY && (own.action === ANY || !EXPLICIT_RESOURCES.includes(asked.resource));
  });
}

/** What permissions allow in the service, by resource, for a key that can manage it. */
export function serviceAccess(permissions: readonly string[]): { resource: string; can: string[] }[] {
  const allowed = SERVICE_RESOURCE_PERMISSIONS.filter((permission) => holds(permissions, permission));
  return [...groupByResource(allowed)].map(([resource]) => ({
    resource,
    can: allowed
      .filter((permission) => permission.startsWith(`${resource}:`))
      .map((permission) => SERVICE_PERMISSIONS[permission]),
  }));
}

/** The permissions in `wanted` that `held` does not include. Null: unknown, so none is reported. */
export function missingFrom(held: readonly string[] | null, wanted: readonly string[]): string[] {
  return held === null ? [] : wanted.filter((permission) => !holds(held, permission));
}

/** Each permission once in its shortest form, without those that another one includes. */
export function withoutRedundant(permissions: readonly string[]): string[] {
  const parsed = permissions.map((text) => parsePermission(text)).filter((permission) => permission !== null);
  const all = [...new Set(parsed.map(formatPermission))];
  const others = (text: string) => all.filter((other) => other !== text);
  return all.filter((text) => !holds(others(text), text));
}

/** Whether a resource is one of the service. */
export function isServiceResource(resource: string): boolean {
  return SERVICE_RESOURCES.includes(resource);
}

/** Whether a permission is on a resource of the service. */
export function isServicePermission(text: string): boolean {
  return isServiceResource(parsePermission(text)?.resource ?? "");
}

/** What a permission allows, as the end of a sentence that begins with "can". */
export function describePermission(text: string): string {
  const permission = parsePermission(text);
  if (permission === null) return text;
  const { resource, action } = permission;
  const known = Object.entries(SERVICE_PERMISSIONS).find(([name]) => name === formatPermission(permission));
  if (known !== undefined) return known[1];
  if (resource === ANY) return `${action} every resource of your own API, and API keys`;
  return action === ANY ? `do everything to ${resource}` : `${action} ${resource}`;
}

/** Resource to actions, in the order of first mention. */
export function groupByResource(permissions: readonly string[]): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const permission of permissions.map(parsePermission)) {
    if (permission === null) continue;
    const actions = found.get(permission.resource) ?? [];
    if (!actions.includes(permission.action)) actions.push(permission.action);
    found.set(permission.resource, actions);
  }
  return found;
}

/** The names of the permission sets of a key or member. */
export function setNames(ids: readonly string[], sets: readonly { id: string; name: string }[]): string[] {
  return ids.map((id) => sets.find((set) => set.id === id)?.name ?? "a permission set");
}
