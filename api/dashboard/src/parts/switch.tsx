// Off, with what that will break, and on again.

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
  onChanged: () => Promise<void>;
}

export function Switch({ org, of, onClose, onChanged }: Props) {
  const say = useSay();
  const { isBusy, problem, run } = useAction();
  const name = of.name || of.start;
  const verb = of.enabled ? "Disable" : "Enable";
  const act = () =>
    run(async () => {
      const path = { org_id: org, key_id: of.id };
      const body = { enabled: !of.enabled };
      await done(client.PATCH("/orgs/{org_id}/api_keys/{key_id}", { params: { path }, body }));
      say(`${name} is ${of.enabled ? "disabled" : "enabled"}.`);
      onClose();
      await onChanged();
    });
  return (
    <Dialog title={`${verb} ${name}?`} onClose={onClose}>
      <p>
        {of.enabled
          ? "It is refused everywhere from now on, until somebody enables it again."
          : "It is good again everywhere, for all that it may do."}
      </p>
      {of.enabled && <Consequences keys={[of]} />}
      {problem !== null && <Failure of={problem} />}
      <div className="row end">
        <button type="button" onClick={onClose}>
          Cancel
        </button>
        <button type="button" className={of.enabled ? "danger primary" : "primary"} disabled={isBusy} onClick={act}>
          {verb} key
        </button>
      </div>
    </Dialog>
  );
}
