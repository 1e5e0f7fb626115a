// What ids are called: users, keys, permission sets. Who may not look them up sees the id.

import { Link } from "react-router";
import type { AuditEvent } from "../api/client.ts";
import { FRESH, useKey, useMember, useSets } from "../api/lookups.ts";
import { useMe, useOrganization } from "../session.tsx";

/** Whom a key belongs to. */
export function Owner({ org, user }: { org: string; user: string | null }) {
  if (user === null) return <span>Organization</span>;
  return <UserName org={org} id={user} />;
}

export function UserName({ org, id }: { org: string; id: string }) {
  const { can } = useOrganization();
  const me = useMe();
  const member = useMember(org, me.user?.id === id ? null : id, can("members:read"));
  if (me.user?.id === id) return <span>{me.user.name} (you)</span>;
  if (member === null || (member === undefined && !can("members:read"))) return <ShortId of={id} />;
  return <span title={member?.user_email ?? undefined}>{member?.user_name ?? "…"}</span>;
}

export function KeyName({ org, id }: { org: string; id: string }) {
  const { can } = useOrganization();
  const { data } = useKey(org, id, can("api_keys:read"), FRESH);
  return (
    <Link to={`/orgs/${org}/keys/${id}`}>
      {data === undefined ? <ShortId of={id} /> : data.name || `${data.start}…`}
    </Link>
  );
}

export function SetName({ org, id }: { org: string; id: string }) {
  const { can } = useOrganization();
  const set = useSets(org, can("permission_sets:read")).find((set) => set.id === id);
  return set === undefined ? <ShortId of={id} /> : <span>{set.name}</span>;
}

/** Who did something. */
export function ActorName({ org, of }: { org: string; of: AuditEvent["actor"] }) {
  if (of.type === "operator") return <span>The operator</span>;
  if (of.type === "unknown") return <span>Somebody unknown</span>;
  return (
    <span>
      {of.user_id !== null && <UserName org={org} id={of.user_id} />}
      {of.user_id !== null && of.key_id !== null && " with "}
      {of.key_id !== null && <KeyName org={org} id={of.key_id} />}
    </span>
  );
}

export function ShortId({ of }: { of: string }) {
  return (
    <code className="faint small" title={of}>
      …{of.slice(-12)}
    </code>
  );
}
