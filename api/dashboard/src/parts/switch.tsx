// Off, with what that will break, and on again.

import { client, done, type Key } from "../api/client.ts";
import { Confirm } from "./confirm.tsx";
import { Consequences } from "./consequences.tsx";
import { useSay } from "./toast.tsx";
import { useAction } from "./use-action.ts";

interface Props {
  org: string;
  of: Key;
  onClose: () => void;
  onChanged: () => Promise<void>;
}

export function Switch({ org, of, onClose, onChanged }: Props) {
  const say = useSay();
  const action = useAction();
  const name = of.name || of.start;
  const verb = of.enabled ? "Disable" : "Enable";
  const act = () =>
    action.run(async () => {
      const path = { org_id: org, key_id: of.id };
      const body = { enabled: !of.enabled };
      await done(client.PATCH("/orgs/{org_id}/api_keys/{key_id}", { params: { path }, body }));
      say(`${name} is ${of.enabled ? "disabled" : "enabled"}.`);
      onClose();
      await onChanged();
    });
  return (
    <Confirm
      title={`${verb} ${name}?`}
      verb={`${verb} key`}
      action={action}
      onConfirm={act}
      onClose={onClose}
      isHarmless={!of.enabled}
    >
      <p>
        {of.enabled
          ? "It is refused everywhere from now on, until somebody enables it again."
          : "It is good again everywhere, for all that it may do."}
      </p>
      {of.enabled && <Consequences keys={[of]} />}
    </Confirm>
  );
}
