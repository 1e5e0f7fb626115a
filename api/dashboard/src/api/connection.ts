// Whether the browser is online, and the service answers.

import { useSyncExternalStore } from "react";

export type Connection = "online" | "offline" | "no answer";

const listeners = new Set<() => void>();

/** Whether the last request was answered. */
let isAnswered = true;

/** Notes whether a request was answered, by the service or by a proxy before it. */
export function noteAnswer(answered: boolean): void {
  if (answered === isAnswered) return;
  isAnswered = answered;
  for (const listener of listeners) listener();
}

function current(): Connection {
  if (!navigator.onLine) return "offline";
  return isAnswered ? "online" : "no answer";
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  window.addEventListener("online", listener);
  window.addEventListener("offline", listener);
  return () => {
    listeners.delete(listener);
    window.removeEventListener("online", listener);
    window.removeEventListener("offline", listener);
  };
}

export function useConnection(): Connection {
  return useSyncExternalStore(subscribe, current);
}
