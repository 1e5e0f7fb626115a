// An operation of the portal that a button starts. If the session has ended, the page says so.

import { type Action, useAction } from "../hooks/use-action.ts";
import { hasEnded } from "./api.ts";

export function usePortalAction(onEnded: () => void): Action {
  const action = useAction();
  const run = (operation: () => Promise<void>) =>
    action.run(async () => {
      try {
        await operation();
      } catch (error) {
        if (!hasEnded(error)) throw error;
        onEnded();
      }
    });
  return { ...action, run };
}
