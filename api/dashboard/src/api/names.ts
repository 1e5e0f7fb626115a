// Names of keys, members and permission sets, for exports.

import { client, type Key, type KeyQuery, unwrap, unwrapPage } from "./client.ts";

/** Keys that are read one by one; if there are more, the list is read. */
const MAX_SINGLE_READS = 40;

/** Concurrent requests. */
const CONCURRENCY = 4;

const PAGE_SIZE = 1_000;

/** Pages of keys that are read to find names; keys on later pages stay without a name. */
const MAX_PAGES = 20;

/** What the caller can read. */
interface Readable {
  keys: boolean;
  members: boolean;
}

/** The names of these keys, revoked ones too, and of all members, by id. What the caller cannot read is left out. */
export async function readNames(
  org: string,
  keyIds: ReadonlySet<string>,
  readable: Readable,
  signal: AbortSignal,
): Promise<Map<string, string>> {
  const names = new Map<string, string>();
  const add = (key: Key) => names.set(key.id, key.name || `${key.start}…`);
  if (readable.members) {
    const params = (cursor: string | undefined) => ({ path: { org_id: org }, query: { limit: PAGE_SIZE, cursor } });
    await everyPage(
      (cursor) => unwrapPage(client.GET("/orgs/{org_id}/members", { params: params(cursor), signal })),
      (members) => {
        for (const member of members) names.set(member.user_id, member.user_name);
        return false;
      },
    );
  }
  if (!readable.keys) return names;
  if (keyIds.size <= MAX_SINGLE_READS) {
    await readSingly(org, [...keyIds], add, signal);
    return names;
  }
  const isComplete = () => [...keyIds].every((id) => names.has(id));
  for (const deleted of [false, true]) {
    await everyPage(
      (cursor) => readKeys(org, { deleted, cursor }, signal),
      (keys) => {
        for (const key of keys) if (keyIds.has(key.id)) add(key);
        return isComplete();
      },
    );
  }
  return names;
}

function readKeys(org: string, { deleted = false, cursor }: KeyQuery, signal: AbortSignal) {
  const query = { limit: PAGE_SIZE, ...(deleted && { deleted }), ...(cursor !== undefined && { cursor }) };
  return unwrapPage(client.GET("/orgs/{org_id}/api_keys", { params: { path: { org_id: org }, query }, signal }));
}

async function readSingly(org: string, ids: string[], add: (key: Key) => void, signal: AbortSignal): Promise<void> {
  const work = async () => {
    for (let id = ids.shift(); id !== undefined; id = ids.shift()) {
      const params = { path: { org_id: org, key_id: id }, query: { include_deleted: true } };
      try {
        add(await unwrap(client.GET("/orgs/{org_id}/api_keys/{key_id}", { params, signal })));
      } catch {
        // It is removed permanently, or of another organization: it has no name here. The next request fails if this was another error.
        signal.throwIfAborted();
      }
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, work));
}

/** Reads pages until there are no more, `take` returns true, or the bound is reached. */
async function everyPage<T>(
  read: (cursor: string | undefined) => Promise<{ items: T[]; next: string | null }>,
  take: (items: T[]) => boolean,
): Promise<void> {
  let cursor: string | undefined;
  for (let page = 0; page < MAX_PAGES; page++) {
    const { items, next } = await read(cursor);
    if (take(items) || next === null) return;
    cursor = next;
  }
}
