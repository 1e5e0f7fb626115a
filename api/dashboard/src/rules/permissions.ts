// Permissions as the service decides them: an action on a resource, either of which may be `*` (docs/CONTRACTS.md). The
// service has the last word; here a person is told while they type.

export interface Permission {
  resource: string;
  action: string;
}

export const ANY = "*";

/** What opens the service itself, by resource: what the actions mean to people. */
export const RESERVED: Record<string, Record<string, string>> = {
  api_keys: {
    read: "see keys and their usage",
    write: "create, change and revoke keys",
    verify: "check whether a key is good",
  },
  own_api_keys: { read: "see one's own keys", write: "create, change and revoke one's own keys" },
  org: { read: "see the organization", admin: "change the organization, set limits of keys" },
  members: { read: "see the members", admin: "add, change and remove members" },
  permission_sets: { read: "see permission sets", admin: "create, change and delete permission sets" },
  audit: { read: "read the audit log" },
};

const TOKEN = /^(\*|[A-Za-z0-9_.-]{1,64})$/;

/** Reads `read`, `files:read`, `*`. Null where it is none. */
export function parse(text: string): Permission | null {
  const at = text.indexOf(":");
  const [resource, action] = at < 0 ? [ANY, text] : [text.slice(0, at), text.slice(at + 1)];
  return TOKEN.test(resource) && TOKEN.test(action) ? { resource, action } : null;
}

/** The shortest form. */
export function flat({ resource, action }: Permission): string {
  return resource === ANY ? action : `${resource}:${action}`;
}

/** Whether one of `held` includes `wanted`. Texts that are no permission hold nothing and are held by nobody. */
export function holds(held: readonly string[], wanted: string): boolean {
  const asked = parse(wanted);
  if (asked === null) return false;
  const includes = (own: string, other: string) => own === ANY || own === other;
  return held.some((text) => {
    const own = parse(text);
    return own !== null && includes(own.resource, asked.resource) && includes(own.action, asked.action);
  });
}

/** What of `wanted` nobody who holds `held` can give. `null` is unknown: nothing can be said. */
export function beyond(held: readonly string[] | null, wanted: readonly string[]): string[] {
  return held === null ? [] : wanted.filter((permission) => !holds(held, permission));
}

/** Each permission once in its shortest form, without those that another one includes. */
export function shortest(permissions: readonly string[]): string[] {
  const all = [
    ...new Set(
      permissions
        .map((text) => parse(text))
        .filter((known) => known !== null)
        .map(flat),
    ),
  ];
  return all.filter(
    (text) =>
      !holds(
        all.filter((other) => other !== text),
        text,
      ),
  );
}

/** What somebody with this permission can do, as the end of a sentence that begins with "can". */
export function inWords(text: string): string {
  const permission = parse(text);
  if (permission === null) return text;
  const { resource, action } = permission;
  const reserved = RESERVED[resource]?.[action];
  if (resource === ANY && action === ANY) return "do everything, also manage keys, members and the organization itself";
  if (reserved !== undefined) return reserved;
  if (resource === ANY) return `${action} every resource`;
  return action === ANY ? `do everything to ${resource}` : `${action} ${resource}`;
}

/** Resource to actions, in the order of first mention, of all that can be picked from these permissions. */
export function byResource(permissions: readonly string[]): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const permission of permissions.map(parse)) {
    if (permission === null) continue;
    const actions = found.get(permission.resource) ?? [];
    if (!actions.includes(permission.action)) actions.push(permission.action);
    found.set(permission.resource, actions);
  }
  return found;
}
