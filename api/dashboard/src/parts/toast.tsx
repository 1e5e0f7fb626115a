// Short messages about what was done, which screen readers say aloud.

import { createContext, type ReactNode, useCallback, useContext, useRef, useState } from "react";

const SHOWN_FOR = 6_000;

const Say = createContext<(text: string) => void>(() => undefined);

/** Says what was done. */
export function useSay(): (text: string) => void {
  return useContext(Say);
}

export function Toasts({ children }: { children: ReactNode }) {
  const [texts, setTexts] = useState<{ id: number; text: string }[]>([]);
  const last = useRef(0);
  const say = useCallback((text: string) => {
    const id = ++last.current;
    setTexts((texts) => [...texts, { id, text }]);
    setTimeout(() => setTexts((texts) => texts.filter((other) => other.id !== id)), SHOWN_FOR);
  }, []);
  return (
    <Say value={say}>
      {children}
      <div className="toasts" role="status" aria-live="polite">
        {texts.map(({ id, text }) => (
          <div key={id} className="toast">
            {text}
          </div>
        ))}
      </div>
    </Say>
  );
}
