// A modal dialog. The browser's own element keeps the focus inside, closes with Escape, and is announced by screen readers.

import { X } from "lucide-react";
import { type ReactNode, useId, useLayoutEffect, useRef } from "react";

interface Props {
  title: string;
  /** Null: it cannot be dismissed, because its content must not be lost; the content has its own button to close it. */
  onClose: (() => void) | null;
  children: ReactNode;
}

export function Dialog({ title, onClose, children }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  // Closed before it is removed from the page, so that the browser returns the focus to the element that had it before.
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
      // On a second Escape, browsers close the dialog even if `cancel` is prevented. Whether it closes is decided by `onClose`.
      onClose={() => {
        if (dialog.current?.open === false) dialog.current.showModal();
        onClose?.();
      }}
    >
      <div className="dialog-body">
        <div className="space-between">
          <h2 id={id}>{title}</h2>
          {onClose !== null && (
            <button type="button" className="ghost" onClick={onClose} aria-label="Close">
              <X size={18} aria-hidden />
            </button>
          )}
        </div>
        {children}
      </div>
    </dialog>
  );
}
