// Buttons for the previous and next page of a list. The cursor of the page is in the address, so a page can be linked.

import { ChevronLeft, ChevronRight } from "lucide-react";
import { useLocation, useNavigate, useSearchParams } from "react-router";

/** State of the browser's history: the cursors of the pages before this one, as far as they were visited. */
interface PagerState {
  previous?: string[];
}

export function Pager({ next }: { next: string | null }) {
  const [search] = useSearchParams();
  const { state } = useLocation();
  const navigate = useNavigate();
  const current = search.get("after");
  const previous = (state as PagerState | null)?.previous ?? [];
  if (current === null && next === null) return null;
  const open = (cursor: string, previous: string[]) => {
    const to = new URLSearchParams(search);
    if (cursor === "") to.delete("after");
    else to.set("after", cursor);
    navigate({ search: to.toString() }, { state: { previous } satisfies PagerState });
    window.scrollTo(0, 0);
  };
  return (
    <nav className="pager" aria-label="Pages">
      <button
        type="button"
        disabled={current === null}
        onClick={() => open(previous.at(-1) ?? "", previous.slice(0, -1))}
      >
        <ChevronLeft size={18} aria-hidden /> {previous.length > 0 ? "Previous" : "First"}
      </button>
      <span className="muted small">Page {current === null ? 1 : previous.length + 1}</span>
      <button
        type="button"
        disabled={next === null}
        onClick={() => next !== null && open(next, [...previous, current ?? ""])}
      >
        Next <ChevronRight size={18} aria-hidden />
      </button>
    </nav>
  );
}
