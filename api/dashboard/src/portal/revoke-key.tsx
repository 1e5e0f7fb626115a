// Revoking a key.

import { unwrap } from "../api/client.ts";
import { ConfirmDialog } from "../components/ui/confirm-dialog.tsx";
import { useToast } from "../hooks/use-toast.ts";
import type { PortalKey } from "./api.ts";
import type { DialogProps } from "./dialog-props.ts";
import { nameOf } from "./keys.tsx";
import { usePortalAction } from "./use-portal-action.ts";

export function RevokeKey({ apiKey, client, onClose, onChanged, onEnded }: DialogProps & { apiKey: PortalKey }) {
  const action = usePortalAction(onEnded);
  const toast = useToast();
  const name = nameOf(apiKey);
  const revoke = () =>
    action.run(async () => {
      await unwrap(client.DELETE("/portal/api_keys/{key_id}", { params: { path: { key_id: apiKey.id } } }));
      onClose();
      toast(`${name} is revoked.`);
      await onChanged();
    });
  return (
    <ConfirmDialog
      title={`Revoke ${name}`}
      confirmLabel="Revoke key"
      action={action}
      onConfirm={revoke}
      onClose={onClose}
    >
      <p>Requests with this key are refused from now on.</p>
    </ConfirmDialog>
  );
}
