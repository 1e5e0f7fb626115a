// A dialog that asks before an operation: its effects, its error, and a way to cancel.

import type { ReactNode } from "react";
import type { Action } from "../../hooks/use-action.ts";
import { Dialog } from "./dialog.tsx";
import { ErrorNotice } from "./error-notice.tsx";

interface Props {
  title: string;
  /** Label of the button that confirms. */
  confirmLabel: string;
  action: Action;
  onConfirm: () => void;
  onClose: () => void;
  /** Whether the operation revokes or removes something. */
  isDestructive?: boolean;
  children: ReactNode;
}

export function ConfirmDialog(props: Props) {
  const { title, confirmLabel, action, onConfirm, onClose, isDestructive = true, children } = props;
  return (
    <Dialog title={title} onClose={onClose}>
      {children}
      {action.error !== null && <ErrorNotice error={action.error} />}
      <div className="row end">
        <button type="button" onClick={onClose}>
          Cancel
        </button>
        <button
          type="button"
          className={isDestructive ? "danger primary" : "primary"}
          disabled={action.isBusy}
          onClick={onConfirm}
        >
          {confirmLabel}
        </button>
      </div>
    </Dialog>
  );
}
