// The filters of the key list: read from the address, and turned into the query of the API.

import type { KeyQuery } from "../../api/client.ts";
import { parsePermission } from "../permissions.ts";
import { statusQuery } from "./key-status.ts";

/** The parameters of the address that are filters. */
export const FILTER_NAMES = ["search", "status", "owner", "set", "permission", "for", "metadata"] as const;

export type FilterName = (typeof FILTER_NAMES)[number];

/** The sort orders of the API, beginning with the default. */
export const SORT_OPTIONS = [
  ["-created_at", "Newest first"],
  ["created_at", "Oldest first"],
  ["name", "Name, A to Z"],
  ["-name", "Name, Z to A"],
  ["-last_used_at", "Recently used first"],
  ["last_used_at", "Longest unused first"],
  ["-request_count", "Most used first"],
  ["request_count", "Least used first"],
  ["expires_at", "Earliest expiry first"],
  ["-expires_at", "Latest expiry first"],
] as const;

export type Sort = (typeof SORT_OPTIONS)[number][0];

/** The sort order of an address; the default if it has none, or an unknown one. */
export function sortOf(text: string): Sort {
  return SORT_OPTIONS.find(([sort]) => sort === text)?.[0] ?? SORT_OPTIONS[0][0];
}

export const PAGE_SIZES = [25, 50, 100, 200] as const;
export const DEFAULT_PAGE_SIZE = 50;

/** The page size of an address; the default if it has none, or another one. */
export function pageSizeOf(text: string): number {
  return PAGE_SIZES.find((size) => String(size) === text) ?? DEFAULT_PAGE_SIZE;
}

/** The JSON object for a filter such as `plan=pro, seats=5`; null: it is not valid. */
export function metadataFilter(text: string): string | null {
  const pairs = text.split(",").map((pair) => pair.split("="));
  const members = pairs.map(([name = "", value = "", ...rest]) => {
    const isName = /^[A-Za-z0-9_.-]{1,64}$/.test(name.trim());
    return isName && value.trim() !== "" && rest.length === 0 ? ([name.trim(), typed(value.trim())] as const) : null;
  });
  const known = members.filter((member) => member !== null);
  const isValid = known.length === members.length && new Set(known.map(([name]) => name)).size === known.length;
  return isValid && known.length <= 8 ? JSON.stringify(Object.fromEntries(known)) : null;
}

/** A text in quotes is a text; otherwise numbers, `true` and `false` are themselves. */
function typed(text: string): string | number | boolean {
  if (/^".*"$/.test(text)) return text.slice(1, -1);
  if (text === "true" || text === "false") return text === "true";
  return /^-?(0|[1-9]\d{0,14})$/.test(text) ? Number(text) : text;
}

/** What is wrong with the filters; null: nothing. */
export function filterError(value: (name: FilterName) => string): string | null {
  const permission = value("permission").trim();
  if (permission !== "" && parsePermission(permission) === null) {
    return `“${permission}” is not a valid permission: use resource:action, for example files:read.`;
  }
  const metadata = value("metadata").trim();
  if (metadata !== "" && metadataFilter(metadata) === null) {
    return `“${metadata}” is not a filter by metadata: use name=value, for example plan=pro.`;
  }
  return null;
}

/** The query of the API for valid filters. */
export function filterQuery(value: (name: FilterName) => string, now: number): KeyQuery {
  const text = (name: FilterName) => value(name).trim();
  return {
    ...statusQuery(value("status"), now),
    ...(text("search") !== "" && { search: text("search") }),
    ...(text("owner") !== "" && { user: text("owner") }),
    ...(text("set") !== "" && { permission_set: text("set") }),
    ...(text("permission") !== "" && { permission: text("permission") }),
    ...(text("for") !== "" && { can_manage: text("for") === "claviger" }),
    ...(text("metadata") !== "" && { metadata: metadataFilter(text("metadata")) ?? "" }),
  };
}
