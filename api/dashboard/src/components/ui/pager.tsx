// Buttons for the previous and next page of a list. The cursor of the page is in the address, so a page can be linked.

import { ChevronLeft, ChevronRight } from "lucide-react";
import type { ReactNode } from "react";
import { useLocation, useNavigate, useSearchParams } from "react-router";

/** State of the browser's history: the cursors of the pages before this one, as far as they were visited. */
interface PagerState {
  previous?: string[];
}

interface Props {
  next: string | null;
  /** The number of pages, if it is known. */
  pages?: number | undefined;
  /** Shown beside the page number. */
  children?: ReactNode;
}

export function Pager({ next, pages, children }: Props) {
  const [search] = useSearchParams();
  const { state } = useLocation();
  const navigate = useNavigate();
  const current = search.get("after");
  const previous = (state as PagerState | null)?.previous ?? [];
  if (current === null && next === null && children === undefined) return null;
  const open = (cursor: string, previous: string[]) => {
    const to = new URLSearchParams(search);
    if (cursor === "") to.delete("after");
    else to.set("after", cursor);
    navigate({ search: to.toString() }, { state: { previous } satisfies PagerState });
    window.scrollTo(0, 0);
  };
  // A page that was opened by a link has a cursor, and it is not known how many pages are before it.
  const number = current === null ? 1 : previous.length > 0 ? previous.length + 1 : null;
  return (
    <nav className="pager" aria-label="Pages">
      <button
        type="button"
        disabled={current === null}
        onClick={() => open(previous.at(-1) ?? "", previous.slice(0, -1))}
      >
        <ChevronLeft size={18} aria-hidden /> {previous.length > 0 ? "Previous" : "First"}
      </button>
      <span className="row muted small">
        {number !== null && (
          <span>
            Page {number}
            {pages !== undefined && ` of ${pages.toLocaleString("en")}`}
          </span>
        )}
        {children}
      </span>
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
