// Asks before a link leads away from a form with unsaved changes.

import { useEffect, useState } from "react";
import { useNavigate } from "react-router";
import { countUnsavedForms, discardUnsavedChanges } from "../hooks/use-unsaved-changes.ts";
import { Dialog } from "./ui/dialog.tsx";

export function LeaveGuard() {
  const navigate = useNavigate();
  /** The page that the link leads to; null: none was clicked. */
  const [target, setTarget] = useState<string | null>(null);
  useEffect(() => {
    const ask = (event: MouseEvent) => {
      const link = event.target instanceof Element ? event.target.closest("a") : null;
      const path = link?.getAttribute("href") ?? "";
      const isElsewhere =
        event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || link?.target === "_blank";
      if (!path.startsWith("#/") || isElsewhere || countUnsavedForms() === 0) return;
      // Before the link's own handler, which does nothing then.
      event.preventDefault();
      setTarget(path.slice(1));
    };
    document.addEventListener("click", ask, true);
    return () => document.removeEventListener("click", ask, true);
  }, []);
  if (target === null) return null;
  const leave = () => {
    discardUnsavedChanges();
    setTarget(null);
    navigate(target);
  };
  return (
    <Dialog title="Leave without saving?" onClose={() => setTarget(null)}>
      <p>What you have entered on this page is lost if you leave it.</p>
      <div className="row end">
        <button type="button" onClick={() => setTarget(null)}>
          Stay here
        </button>
        <button type="button" className="danger primary" onClick={leave}>
          Leave
        </button>
      </div>
    </Dialog>
  );
}
