// A modal dialog: the browser's own, which keeps the focus, closes with Escape and is told to screen readers.

import { X } from "lucide-react";
import { type ReactNode, useId, useLayoutEffect, useRef } from "react";

interface Props {
  title: string;
  /** Null: what is in it must not be lost, and has its own way out. */
  onClose: (() => void) | null;
  children: ReactNode;
}

export function Dialog({ title, onClose, children }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  // Closed while it is still in the page: so the browser gives the focus back to where it came from.
  useLayoutEffect(() => {
    const element = dialog.current;
    element?.showModal();
    return () => element?.close();
  }, []);
  return (
    <dialog
      ref={dialog}
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault();
        onClose?.();
      }}
      // A browser that is asked twice closes it without asking.
      onClose={() => (onClose === null ? dialog.current?.showModal() : onClose())}
    >
      <div className="body">
        <div className="spread">
          <h2 id={id}>{title}</h2>
          {onClose !== null && (
            <button type="button" className="plain" onClick={onClose} aria-label="Close">
              <X size={18} aria-hidden />
            </button>
          )}
        </div>
        {children}
      </div>
    </dialog>
  );
}
