// The filters of the list that a key was opened from, so that the way back leads to the same list. In memory only.

let last: { path: string; search: string } | null = null;

/** Stores the filters of the list at a path. */
export function storeList(path: string, search: string): void {
  last = { path, search };
}

/** The address of the list at a path, with the filters that it had last. */
export function lastList(path: string): string {
  return last?.path === path ? path + last.search : path;
}
