// Keeps the page open while something is on the screen that cannot be shown again.

import { useEffect } from "react";
import { keepPageOpen } from "../api/session.ts";

/** While the component is shown, the browser asks before it leaves the page, and the end of the session does not hide it. */
export function useKeepPageOpen(): void {
  useEffect(() => {
    const askBeforeLeaving = (event: BeforeUnloadEvent) => event.preventDefault();
    window.addEventListener("beforeunload", askBeforeLeaving);
    const release = keepPageOpen();
    return () => {
      window.removeEventListener("beforeunload", askBeforeLeaving);
      release();
    };
  }, []);
}
