// Names of users, keys and permission sets by id. If the caller cannot read them, the id is shown.

import { Link } from "react-router";
import type { AuditEvent, Key } from "../api/client.ts";
import { NAME_STALE_TIME, useKey, useMember, useSets } from "../api/queries.ts";
import { useMe } from "../hooks/use-me.ts";
import { useOrganization } from "../hooks/use-organization.ts";

/** The owner of a key. */
export function Owner({ org, user }: { org: string; user: string | null }) {
  if (user === null) return <span>Organization</span>;
  return <UserName org={org} id={user} />;
}

export function UserName({ org, id }: { org: string; id: string }) {
  const { can, user } = useOrganization();
  const me = useMe();
  const member = useMember(org, me.user?.id === id ? null : id, can("members:read"));
  if (me.user?.id === id) return <span>{me.user.name} (you)</span>;
  if (user === id) return <span>{member?.user_name ?? "You"} (you)</span>;
  if (member === null || (member === undefined && !can("members:read"))) return <ShortId id={id} />;
  return <span title={member?.user_email ?? undefined}>{member?.user_name ?? "…"}</span>;
}

export function KeyName({ org, id }: { org: string; id: string }) {
  const { can, hasOwnKeys } = useOrganization();
  const { data } = useKey(org, id, can("api_keys:read") || hasOwnKeys, NAME_STALE_TIME);
  return (
    <>
      <Link to={`/orgs/${org}/keys/${id}`}>
        {data === undefined ? <ShortId id={id} /> : data.name || `${data.start}…`}
      </Link>
      {data !== undefined && data.deleted_at !== null && <span className="muted small"> (revoked)</span>}
    </>
  );
}

export function PermissionSetName({ org, id }: { org: string; id: string }) {
  const { can } = useOrganization();
  const set = useSets(org, can("permission_sets:read")).find((set) => set.id === id);
  return set === undefined ? <ShortId id={id} /> : <span>{set.name}</span>;
}

/** Who created or revoked a key. */
export function CreatorName({ org, creator }: { org: string; creator: Key["created_by"] }) {
  if (creator.id === null) return <>the operator</>;
  return creator.type === "user" ? <UserName org={org} id={creator.id} /> : <KeyName org={org} id={creator.id} />;
}

/** The actor of an audit event. */
export function ActorName({ org, actor }: { org: string; actor: AuditEvent["actor"] }) {
  if (actor.type === "operator") return <span>The operator</span>;
  if (actor.type === "unknown") return <span>Unknown</span>;
  return (
    <span>
      {actor.user_id !== null && <UserName org={org} id={actor.user_id} />}
      {actor.user_id !== null && actor.key_id !== null && " with "}
      {actor.key_id !== null && <KeyName org={org} id={actor.key_id} />}
    </span>
  );
}

/** The end of an id, which differs between ids that were created at the same time. */
export function ShortId({ id }: { id: string }) {
  return (
    <code className="muted small" title={id}>
      …{id.slice(-12)}
    </code>
  );
}
