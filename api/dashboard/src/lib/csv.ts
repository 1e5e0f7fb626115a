// Audit events as CSV (RFC 4180): one column for each field.

import type { AuditEvent } from "../api/client.ts";

const COLUMNS: [string, (event: AuditEvent) => unknown][] = [
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
];

export function toCsv(events: AuditEvent[]): string {
  const lines = events.map((event) => COLUMNS.map(([, field]) => cell(field(event))));
  return [COLUMNS.map(([name]) => name), ...lines].map((line) => `${line.join(",")}\r\n`).join("");
}

function cell(value: unknown): string {
  const text = value === null || value === undefined ? "" : String(value);
  // Spreadsheets execute a text that begins like this as a formula. Clients choose the request id.
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
