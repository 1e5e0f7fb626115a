// What a list is asked for, kept in the address, so that the list can be sent to somebody else.

import { useSearchParams } from "react-router";

export function useFilters() {
  const [search, setSearch] = useSearchParams();
  /** What is asked for by this name; empty: nothing. */
  const value = (name: string) => search.get(name) ?? "";
  /** Asks for something else. Another question has another first page. */
  const ask = (name: string, text: string) => {
    const next = new URLSearchParams(search);
    next.delete("after");
    if (text === "") next.delete(name);
    else next.set(name, text);
    setSearch(next, { replace: true });
  };
  return { value, ask, clear: () => setSearch({}) };
}
