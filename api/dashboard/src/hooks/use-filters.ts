// The filters of a list, stored in the address, so that a filtered list can be linked.

import { useSearchParams } from "react-router";

export function useFilters() {
  const [search, setSearch] = useSearchParams();
  /** The value of a filter; empty: not set. */
  const value = (name: string) => search.get(name) ?? "";
  /** Sets a filter and returns to the first page. */
  const setFilter = (name: string, text: string) => {
    const next = new URLSearchParams(search);
    next.delete("after");
    if (text === "") next.delete(name);
    else next.set(name, text);
    setSearch(next, { replace: true });
  };
  return { value, setFilter, clear: () => setSearch({}) };
}
