// A dialog with a form. It asks before it is closed while the form has unsaved changes (`useUnsavedChanges`).

import { type ReactNode, useState } from "react";
import { countUnsavedForms } from "../../hooks/use-unsaved-changes.ts";
import { Dialog } from "./dialog.tsx";

interface Props {
  title: string;
  /** Closes it, without asking. */
  onClose: () => void;
  /** The form. `cancel` asks if there are unsaved changes, and closes the dialog. */
  children: (cancel: () => void) => ReactNode;
}

export function FormDialog({ title, onClose, children }: Props) {
  // Those of the page behind the dialog, which cannot change meanwhile.
  const [otherForms] = useState(countUnsavedForms);
  /** The number of attempts to close the dialog with unsaved changes. */
  const [attempts, setAttempts] = useState(0);
  const [isAsking, setAsking] = useState(false);
  const cancel = () => {
    if (countUnsavedForms() <= otherForms) return onClose();
    setAttempts((attempts) => attempts + 1);
    setAsking(true);
  };
  return (
    <>
      <Dialog title={title} onClose={cancel}>
        {children(cancel)}
      </Dialog>
      {isAsking && (
        // A new one for each attempt: when the browser has closed the form, and it is shown again, the question must be above it.
        <Dialog key={attempts} title="Close without saving?" onClose={() => setAsking(false)}>
          <p>What you have entered is lost if you close it.</p>
          <div className="row end">
            <button type="button" onClick={() => setAsking(false)}>
              Keep editing
            </button>
            <button type="button" className="danger primary" onClick={onClose}>
              Discard
            </button>
          </div>
        </Dialog>
      )}
    </>
  );
}
