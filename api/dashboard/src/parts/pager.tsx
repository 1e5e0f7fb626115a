// From page to page of a list of any length: by the cursors that the API gives, kept in the address.

import { ChevronLeft, ChevronRight } from "lucide-react";
import { useLocation, useNavigate, useSearchParams } from "react-router";

/** The pages before this one, as far as one came by them. */
interface Way {
  before?: string[];
}

export function Pager({ next }: { next: string | null }) {
  const [search] = useSearchParams();
  const { state } = useLocation();
  const navigate = useNavigate();
  const here = search.get("after");
  const before = (state as Way | null)?.before ?? [];
  if (here === null && next === null) return null;
  const go = (after: string, before: string[]) => {
    const to = new URLSearchParams(search);
    if (after === "") to.delete("after");
    else to.set("after", after);
    navigate({ search: to.toString() }, { state: { before } satisfies Way });
    window.scrollTo(0, 0);
  };
  return (
    <nav className="pager" aria-label="Pages">
      <button type="button" disabled={here === null} onClick={() => go(before.at(-1) ?? "", before.slice(0, -1))}>
        <ChevronLeft size={18} aria-hidden /> {before.length > 0 ? "Previous" : "First"}
      </button>
      <span className="faint small">Page {here === null ? 1 : before.length + 1}</span>
      <button type="button" disabled={next === null} onClick={() => next !== null && go(next, [...before, here ?? ""])}>
        Next <ChevronRight size={18} aria-hidden />
      </button>
    </nav>
  );
}
