// Something that is done when a person says so: once at a time, with what went wrong.

import { useRef, useState } from "react";

export interface Action {
  isBusy: boolean;
  /** What went wrong the last time; null: nothing. */
  problem: unknown;
  /** Does it, unless it is being done already. What it throws becomes the problem. */
  run: (act: () => Promise<void>) => Promise<void>;
  /** Forgets what went wrong. */
  forget: () => void;
}

export function useAction(): Action {
  const [isBusy, setBusy] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  // Two presses can come before the first has been drawn.
  const isRunning = useRef(false);
  const run = async (act: () => Promise<void>) => {
    if (isRunning.current) return;
    isRunning.current = true;
    setBusy(true);
    setProblem(null);
    try {
      await act();
    } catch (problem) {
      setProblem(problem);
    } finally {
      isRunning.current = false;
      setBusy(false);
    }
  };
  return { isBusy, problem, run, forget: () => setProblem(null) };
}
