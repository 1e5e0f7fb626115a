// Rotating the secret of a key, with a grace period for the previous one.

import { type FormEvent, useState } from "react";
import { unwrap } from "../api/client.ts";
import { Dialog } from "../components/ui/dialog.tsx";
import { ErrorNotice } from "../components/ui/error-notice.tsx";
import { useIdempotencyKey } from "../hooks/use-idempotency-key.ts";
import { DAY, HOUR, SECOND } from "../lib/time.ts";
import type { CreatedPortalKey, PortalKey } from "./api.ts";
import type { DialogProps } from "./dialog-props.ts";
import { nameOf } from "./keys.tsx";
import { NewSecret } from "./new-secret.tsx";
import { usePortalAction } from "./use-portal-action.ts";

const GRACE_PERIODS: [string, number][] = [
  ["1 hour", HOUR],
  ["1 day", DAY],
  ["7 days", 7 * DAY],
  ["None: the previous secret is invalid at once", 0],
];

export function RotateKey({ apiKey, client, onClose, onChanged, onEnded }: DialogProps & { apiKey: PortalKey }) {
  const [gracePeriod, setGracePeriod] = useState(DAY);
  const [rotated, setRotated] = useState<CreatedPortalKey | null>(null);
  const { isBusy, error, run } = usePortalAction(onEnded);
  const header = useIdempotencyKey(gracePeriod);
  const rotate = (event: FormEvent) => {
    event.preventDefault();
    return run(async () => {
      const params = { path: { key_id: apiKey.id }, header };
      const body = { grace_seconds: gracePeriod / SECOND };
      setRotated(await unwrap(client.POST("/portal/api_keys/{key_id}/rotate", { params, body })));
    });
  };
  const finish = async () => {
    onClose();
    await onChanged();
  };
  if (rotated !== null) {
    return (
      <Dialog key="rotated" title={`The new secret of ${nameOf(apiKey)}`} onClose={null}>
        <NewSecret secret={rotated.key} onDone={finish} />
      </Dialog>
    );
  }
  return (
    <Dialog title={`Rotate ${nameOf(apiKey)}`} onClose={isBusy ? null : onClose}>
      <form className="stack" onSubmit={rotate}>
        <p>The key gets a new secret. Use it instead of the previous one, which stays valid for the grace period.</p>
        <fieldset className="stack compact">
          <legend>Grace period of the previous secret</legend>
          {GRACE_PERIODS.map(([label, length]) => (
            <label key={label} className="checkbox">
              <input
                type="radio"
                name="grace"
                checked={gracePeriod === length}
                onChange={() => setGracePeriod(length)}
              />
              {label}
            </label>
          ))}
        </fieldset>
        {error !== null && <ErrorNotice error={error} />}
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
