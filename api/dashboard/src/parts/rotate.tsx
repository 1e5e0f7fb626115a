// A new text for a key, while the old one goes on for a time.

import { type FormEvent, useState } from "react";
import { client, done, type Key, type Schemas } from "../api/client.ts";
import { isRotating } from "../rules/status.ts";
import { DAY, HOUR, SECOND } from "../rules/time.ts";
import { Failure, Notice, useNow } from "./basics.tsx";
import { Consequences } from "./consequences.tsx";
import { Dialog } from "./dialog.tsx";
import { Lost, Secret } from "./secret.tsx";
import { useAction } from "./use-action.ts";
import { useOnce } from "./use-once.ts";

const GRACES: [string, number][] = [
  ["1 hour", HOUR],
  ["1 day", DAY],
  ["7 days", 7 * DAY],
  ["30 days", 30 * DAY],
  ["It ends at once", 0],
];

interface Props {
  org: string;
  of: Key;
  onClose: () => void;
  onChanged: () => Promise<void>;
}

export function Rotate({ org, of, onClose, onChanged }: Props) {
  const now = useNow();
  const mustEnd = isRotating(of, now);
  const [grace, setGrace] = useState(mustEnd ? 0 : DAY);
  const [made, setMade] = useState<Schemas["CreatedApiKey"] | null>(null);
  const { isBusy, problem, run } = useAction();
  const header = useOnce(grace);
  const rotate = (event: FormEvent) => {
    event.preventDefault();
    return run(async () => {
      const params = { path: { org_id: org, key_id: of.id }, header };
      const body = { grace_seconds: grace / SECOND };
      setMade(await done(client.POST("/orgs/{org_id}/api_keys/{key_id}/rotate", { params, body })));
    });
  };
  const finish = async () => {
    onClose();
    await onChanged();
  };

  if (made !== null) {
    return (
      <Dialog key="made" title={`The new secret of ${of.name || of.start}`} onClose={null}>
        {made.key === null ? (
          <Lost onDone={finish} />
        ) : (
          <Secret secret={made.key} permission={of.permissions[0]} onDone={finish} done="I have stored it" />
        )}
      </Dialog>
    );
  }
  return (
    <Dialog title={`Rotate ${of.name || of.start}`} onClose={isBusy ? null : onClose}>
      <form className="stack" onSubmit={rotate}>
        <p>The key gets a new secret. Its permissions, limits and history stay.</p>
        <fieldset className="stack tight">
          <legend>The old secret goes on for</legend>
          {GRACES.map(([label, length]) => (
            <label key={label} className="check">
              <input
                type="radio"
                name="grace"
                checked={grace === length}
                disabled={mustEnd && length > 0}
                onChange={() => setGrace(length)}
              />
              {label}
            </label>
          ))}
        </fieldset>
        {mustEnd && (
          <Notice tone="info">
            <span>An older secret still goes on. A key has two at most, so rotating now ends both at once.</span>
          </Notice>
        )}
        {grace === 0 && <Consequences keys={[of]} />}
        {problem !== null && <Failure of={problem} />}
        <div className="row end">
          <button type="button" disabled={isBusy} onClick={onClose}>
            Cancel
          </button>
          <button type="submit" className="primary" disabled={isBusy}>
            Rotate key
          </button>
        </div>
      </form>
    </Dialog>
  );
}
