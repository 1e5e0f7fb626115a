// Forms with changes that are not saved: before they are left, the caller is asked.

import { useEffect, useRef } from "react";

/** For each form with unsaved changes, what discards them. */
const forms = new Set<() => void>();

/** How many forms have unsaved changes. */
export function countUnsavedForms(): number {
  return forms.size;
}

export function discardUnsavedChanges(): void {
  for (const discard of forms) discard();
}

/** While `isDirty`, the caller is asked before the form is left. `discard` is called when they leave it for another page. */
export function useUnsavedChanges(isDirty: boolean, discard: () => void = () => undefined): void {
  const latest = useRef(discard);
  useEffect(() => {
    latest.current = discard;
  });
  useEffect(() => {
    if (!isDirty) return;
    const discardLatest = () => latest.current();
    const askBeforeLeaving = (event: BeforeUnloadEvent) => event.preventDefault();
    forms.add(discardLatest);
    window.addEventListener("beforeunload", askBeforeLeaving);
    return () => {
      forms.delete(discardLatest);
      window.removeEventListener("beforeunload", askBeforeLeaving);
    };
  }, [isDirty]);
}
