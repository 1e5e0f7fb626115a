// The columns of exported keys.

import type { Key } from "../../api/client.ts";
import type { Columns } from "../csv.ts";
import { statusOf } from "./key-status.ts";

/** The columns, without anything of the secret but its start. `setName` returns the name of a permission set. */
export function keyColumns(now: number, setName: (id: string) => string): Columns<Key> {
  return [
    ["id", (key) => key.id],
    ["name", (key) => key.name],
    ["description", (key) => key.description],
    ["status", (key) => statusOf(key, now)],
    ["start", (key) => key.start],
    ["external_id", (key) => key.external_id],
    ["user_id", (key) => key.user_id],
    ["can_manage", (key) => key.can_manage],
    ["permissions", (key) => key.permissions.join(" ")],
    ["permission_sets", (key) => key.permission_sets.map(setName).join(" ")],
    ["allowed_addresses", (key) => (key.allowed_addresses ?? []).join(" ")],
    ["created_at", (key) => key.created_at],
    ["not_before", (key) => key.not_before],
    ["expires_at", (key) => key.expires_at],
    ["last_used_at", (key) => key.last_used_at],
    ["request_count", (key) => key.request_count],
    ["remaining", (key) => key.remaining],
    ["rate_limit_max", (key) => key.rate_limit_max],
    ["rate_limit_window_ms", (key) => key.rate_limit_window],
    ["metadata", (key) => (key.metadata === null ? null : JSON.stringify(key.metadata))],
    ["deleted_at", (key) => key.deleted_at],
  ];
}
