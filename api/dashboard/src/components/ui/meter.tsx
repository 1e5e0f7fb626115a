// A bar that shows how much of a total is left.

import { useEffect, useRef } from "react";

export function Meter({ left, total }: { left: number; total: number }) {
  const share = total === 0 ? 0 : Math.min(1, left / total);
  const bar = useRef<HTMLElement>(null);
  useEffect(() => {
    // Not as an attribute: the content security policy allows no inline styles.
    if (bar.current !== null) bar.current.style.width = `${share * 100}%`;
  }, [share]);
  return (
    <span className={`meter ${share < 0.1 ? "low" : ""}`} aria-hidden>
      <i ref={bar} />
    </span>
  );
}
