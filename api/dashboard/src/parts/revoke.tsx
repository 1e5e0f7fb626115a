// The end of a key, with what it will break.

import { client, done, type Key } from "../api/client.ts";
import { Confirm } from "./confirm.tsx";
import { Consequences } from "./consequences.tsx";
import { useSay } from "./toast.tsx";
import { useAction } from "./use-action.ts";

interface Props {
  org: string;
  of: Key;
  onClose: () => void;
  onRevoked: () => Promise<void>;
}

export function Revoke({ org, of, onClose, onRevoked }: Props) {
  const say = useSay();
  const action = useAction();
  const name = of.name || of.start;
  const revoke = () =>
    action.run(async () => {
      const path = { org_id: org, key_id: of.id };
      await done(client.DELETE("/orgs/{org_id}/api_keys/{key_id}", { params: { path } }));
      say(`${name} is revoked.`);
      await onRevoked();
    });
  return (
    <Confirm title={`Revoke ${name}?`} verb="Revoke key" action={action} onConfirm={revoke} onClose={onClose}>
      <p>It is refused everywhere from now on. For a while it can be restored, switched off; then it is gone.</p>
      <Consequences keys={[of]} />
    </Confirm>
  );
}
