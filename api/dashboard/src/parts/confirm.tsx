// A question before something is done: what will happen, what went wrong with it, and the way out.

import type { ReactNode } from "react";
import { Failure } from "./basics.tsx";
import { Dialog } from "./dialog.tsx";
import type { Action } from "./use-action.ts";

interface Props {
  title: string;
  /** What the button says that does it. */
  verb: string;
  action: Action;
  onConfirm: () => void;
  onClose: () => void;
  /** Whether it takes nothing from anybody. */
  isHarmless?: boolean;
  children: ReactNode;
}

export function Confirm({ title, verb, action, onConfirm, onClose, isHarmless = false, children }: Props) {
  return (
    <Dialog title={title} onClose={onClose}>
      {children}
      {action.problem !== null && <Failure of={action.problem} />}
      <div className="row end">
        <button type="button" onClick={onClose}>
          Cancel
        </button>
        <button
          type="button"
          className={isHarmless ? "primary" : "danger primary"}
          disabled={action.isBusy}
          onClick={onConfirm}
        >
          {verb}
        </button>
      </div>
    </Dialog>
  );
}
