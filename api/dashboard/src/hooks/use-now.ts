// The current time, for texts that are relative to it.

import { useEffect, useState } from "react";
import { MINUTE } from "../lib/time.ts";

/** The current time in ms, updated at this interval in ms. */
export function useNow(interval: number = MINUTE / 2): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), interval);
    return () => clearInterval(timer);
  }, [interval]);
  return now;
}
