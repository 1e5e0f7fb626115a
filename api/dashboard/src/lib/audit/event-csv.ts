// The columns of an exported audit log.

import type { AuditEvent } from "../../api/client.ts";
import type { Columns } from "../csv.ts";

/** The columns. `nameOf` returns the name of a key, member or permission set; undefined: it is unknown. */
export function eventColumns(nameOf: (id: string) => string | undefined): Columns<AuditEvent> {
  const optional = (id: string | null) => (id === null ? undefined : nameOf(id));
  return [
    ["seq", (event) => event.seq],
    ["at", (event) => event.at],
    ["action", (event) => event.action],
    ["outcome", (event) => event.outcome],
    ["reason", (event) => event.reason],
    ["secret_start", (event) => event.secret_start],
    ["count", (event) => event.count],
    ["target_id", (event) => event.target_id],
    ["actor_type", (event) => event.actor.type],
    ["actor_key_id", (event) => event.actor.key_id],
    ["actor_user_id", (event) => event.actor.user_id],
    ["actor_session_id", (event) => event.actor.session_id],
    ["permission", (event) => event.permission],
    ["client", (event) => event.client],
    ["request_id", (event) => event.request_id],
    ["hash", (event) => event.hash],
    ["changed_fields", (event) => event.changed_fields.join(" ")],
    ["target_name", (event) => optional(event.target_id)],
    ["actor_key_name", (event) => optional(event.actor.key_id)],
    ["actor_user_name", (event) => optional(event.actor.user_id)],
  ];
}

/** The ids of the keys that events are about, or that acted. */
export function keyIdsOf(events: readonly AuditEvent[]): Set<string> {
  const ids = events.flatMap(({ action, target_id, actor }) => [
    ...(action.startsWith("api_key.") ? [target_id] : []),
    ...(actor.key_id === null ? [] : [actor.key_id]),
  ]);
  return new Set(ids);
}
