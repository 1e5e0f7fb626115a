// The end of a key, with what it will break.

import { client, done, type Key } from "../api/client.ts";
import { Failure } from "./basics.tsx";
import { Consequences } from "./consequences.tsx";
import { Dialog } from "./dialog.tsx";
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
  const { isBusy, problem, run } = useAction();
  const name = of.name || of.start;
  const revoke = () =>
    run(async () => {
      const path = { org_id: org, key_id: of.id };
      await done(client.DELETE("/orgs/{org_id}/api_keys/{key_id}", { params: { path } }));
      say(`${name} is revoked.`);
      await onRevoked();
    });
  return (
    <Dialog title={`Revoke ${name}?`} onClose={onClose}>
      <p>It is refused everywhere from now on. For a while it can be restored, switched off; then it is gone.</p>
      <Consequences keys={[of]} />
      {problem !== null && <Failure of={problem} />}
      <div className="row end">
        <button type="button" onClick={onClose}>
          Cancel
        </button>
        <button type="button" className="danger primary" disabled={isBusy} onClick={revoke}>
          Revoke key
        </button>
      </div>
    </Dialog>
  );
}
