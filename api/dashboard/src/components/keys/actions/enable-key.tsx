// Disabling a key, and enabling it again.

import { client, type Key, unwrap } from "../../../api/client.ts";
import { useAction } from "../../../hooks/use-action.ts";
import { useToast } from "../../../hooks/use-toast.ts";
import { ConfirmDialog } from "../../ui/confirm-dialog.tsx";
import { RevokeImpact } from "./revoke-impact.tsx";

interface Props {
  org: string;
  apiKey: Key;
  onClose: () => void;
  onChanged: () => Promise<void>;
}

/** Asks before a key is disabled, or enabled if it is disabled. */
export function EnableKey({ org, apiKey, onClose, onChanged }: Props) {
  const toast = useToast();
  const action = useAction();
  const name = apiKey.name || apiKey.start;
  const isEnabled = apiKey.enabled;
  const verb = isEnabled ? "Disable" : "Enable";
  const execute = () =>
    action.run(async () => {
      const params = { path: { org_id: org, key_id: apiKey.id } };
      await unwrap(client.PATCH("/orgs/{org_id}/api_keys/{key_id}", { params, body: { enabled: !isEnabled } }));
      toast(`${name} is ${isEnabled ? "disabled" : "enabled"}.`);
      onClose();
      await onChanged();
    });
  return (
    <ConfirmDialog
      title={`${verb} ${name}?`}
      confirmLabel={`${verb} key`}
      action={action}
      onConfirm={execute}
      onClose={onClose}
      isDestructive={isEnabled}
    >
      <p>
        {isEnabled
          ? "It stops working at once, until it is enabled again. Its sessions end permanently."
          : "It works again at once, with all of its permissions."}
      </p>
      {isEnabled && <RevokeImpact keys={[apiKey]} />}
    </ConfirmDialog>
  );
}
