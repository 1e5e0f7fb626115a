// Ending all sessions of the caller.

import { useQueryClient } from "@tanstack/react-query";
import { client, unwrap } from "../api/client.ts";
import { endSession } from "../api/session.ts";
import { useAction } from "../hooks/use-action.ts";
import { useMe } from "../hooks/use-me.ts";
import { ConfirmDialog } from "./ui/confirm-dialog.tsx";

/** Ends all sessions of the signed-in key or user, this one included. */
export function SignOutEverywhere({ onClose }: { onClose: () => void }) {
  const me = useMe();
  const queries = useQueryClient();
  const action = useAction();
  const end = () =>
    action.run(async () => {
      await unwrap(client.DELETE("/me/sessions"));
      endSession(queries, false);
    });
  return (
    <ConfirmDialog
      title="Sign out everywhere?"
      confirmLabel="End all sessions"
      action={action}
      onConfirm={end}
      onClose={onClose}
    >
      <p>
        {me.api_key === null
          ? "All of your sessions end, in this browser and in all others."
          : "All sessions that were created with this key end, in this browser and in all others."}
      </p>
      <p className="muted">
        {me.api_key === null
          ? "Access tokens of your identity provider are not revoked, and can create new sessions."
          : "The key itself stays valid, and can create new sessions. If it has leaked, disable or revoke it."}
      </p>
    </ConfirmDialog>
  );
}
