// Short messages about completed operations, which screen readers announce.

import { type ReactNode, useCallback, useRef, useState } from "react";
import { ToastContext } from "../../hooks/use-toast.ts";

/** How long a toast is shown, in ms. */
const DURATION = 6_000;

export function ToastProvider({ children }: { children: ReactNode }) {
  const [toasts, setToasts] = useState<{ id: number; text: string }[]>([]);
  const lastId = useRef(0);
  const show = useCallback((text: string) => {
    const id = ++lastId.current;
    setToasts((toasts) => [...toasts, { id, text }]);
    setTimeout(() => setToasts((toasts) => toasts.filter((other) => other.id !== id)), DURATION);
  }, []);
  return (
    <ToastContext value={show}>
      {children}
      <div className="toasts" role="status" aria-live="polite">
        {toasts.map(({ id, text }) => (
          <div key={id} className="toast">
            {text}
          </div>
        ))}
      </div>
    </ToastContext>
  );
}
