// Says that the browser is offline, or that the service does not answer, and keeps trying.

import { useQueryClient } from "@tanstack/react-query";
import { WifiOff } from "lucide-react";
import { useEffect } from "react";
import { useConnection } from "../api/connection.ts";
import { SECOND } from "../lib/time.ts";

/** From one attempt to reach the service to the next, in ms. */
const RETRY_INTERVAL = 10 * SECOND;

export function ConnectionBanner() {
  const connection = useConnection();
  const queries = useQueryClient();
  useEffect(() => {
    if (connection !== "no answer") return;
    const timer = setInterval(() => void queries.refetchQueries({ type: "active" }), RETRY_INTERVAL);
    return () => clearInterval(timer);
  }, [connection, queries]);
  return (
    <div role="status">
      {connection !== "online" && (
        <p className="connection-banner">
          <WifiOff size={17} aria-hidden />
          {connection === "offline"
            ? "You are offline. What you see may be out of date, and nothing can be saved."
            : "The service does not answer. What you see may be out of date. Trying again every 10 seconds."}
        </p>
      )}
    </div>
  );
}
