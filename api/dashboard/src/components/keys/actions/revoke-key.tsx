// Revoking a key.

import { client, type Key, unwrap } from "../../../api/client.ts";
import { useAction } from "../../../hooks/use-action.ts";
import { useToast } from "../../../hooks/use-toast.ts";
import { ConfirmDialog } from "../../ui/confirm-dialog.tsx";
import { RevokeImpact } from "./revoke-impact.tsx";

interface Props {
  org: string;
  apiKey: Key;
  onClose: () => void;
  onRevoked: () => Promise<void>;
}

export function RevokeKey({ org, apiKey, onClose, onRevoked }: Props) {
  const toast = useToast();
  const action = useAction();
  const name = apiKey.name || apiKey.start;
  const revoke = () =>
    action.run(async () => {
      const path = { org_id: org, key_id: apiKey.id };
      await unwrap(client.DELETE("/orgs/{org_id}/api_keys/{key_id}", { params: { path } }));
      toast(`${name} is revoked.`);
      await onRevoked();
    });
  return (
    <ConfirmDialog
      title={`Revoke ${name}?`}
      confirmLabel="Revoke key"
      action={action}
      onConfirm={revoke}
      onClose={onClose}
    >
      <p>
        It stops working at once. You can restore it until the retention of deleted keys ends. It comes back disabled.
      </p>
      <RevokeImpact keys={[apiKey]} />
    </ConfirmDialog>
  );
}
