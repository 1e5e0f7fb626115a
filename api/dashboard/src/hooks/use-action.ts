// An operation that a button starts: it runs once at a time, and its error is kept.

import { useRef, useState } from "react";
import { hasReason } from "../api/client.ts";
import { useFreshSignIn } from "./use-fresh-sign-in.ts";

export interface Action {
  isBusy: boolean;
  /** The error of the last run; null: none. */
  error: unknown;
  /**
   * Runs the operation, unless one is running. If it needs a fresh sign-in, the caller is asked to sign in, and it runs
   * again. What it throws becomes the error.
   */
  run: (operation: () => Promise<void>) => Promise<void>;
  clearError: () => void;
}

export function useAction(): Action {
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  // A second click can come before the disabled button is rendered.
  const isRunning = useRef(false);
  const askForSignIn = useFreshSignIn();
  const runFresh = async (operation: () => Promise<void>) => {
    try {
      await operation();
    } catch (error) {
      if (!hasReason(error, "fresh_sign_in_required") || !(await askForSignIn())) throw error;
      await operation();
    }
  };
  const run = async (operation: () => Promise<void>) => {
    if (isRunning.current) return;
    isRunning.current = true;
    setBusy(true);
    setError(null);
    try {
      await runFresh(operation);
    } catch (error) {
      setError(error);
    } finally {
      isRunning.current = false;
      setBusy(false);
    }
  };
  return { isBusy, error, run, clearError: () => setError(null) };
}
