// Rotating the secret of a key, with a grace period for the previous one.

import { type FormEvent, useState } from "react";
import { client, type Key, type Schemas, unwrap } from "../../../api/client.ts";
import { useAction } from "../../../hooks/use-action.ts";
import { useIdempotencyKey } from "../../../hooks/use-idempotency-key.ts";
import { useMe } from "../../../hooks/use-me.ts";
import { useNow } from "../../../hooks/use-now.ts";
import { isRotating } from "../../../lib/keys/key-status.ts";
import { DAY, HOUR, SECOND } from "../../../lib/time.ts";
import { Dialog } from "../../ui/dialog.tsx";
import { ErrorNotice } from "../../ui/error-notice.tsx";
import { Notice } from "../../ui/notice.tsx";
import { LostSecret, NewSecret } from "../secret/new-secret.tsx";
import { RevokeImpact } from "./revoke-impact.tsx";

const GRACE_PERIODS: [string, number][] = [
  ["1 hour", HOUR],
  ["1 day", DAY],
  ["7 days", 7 * DAY],
  ["30 days", 30 * DAY],
  ["None: revoke it at once", 0],
];

interface Props {
  org: string;
  apiKey: Key;
  onClose: () => void;
  onChanged: () => Promise<void>;
}

export function RotateKey({ org, apiKey, onClose, onChanged }: Props) {
  const me = useMe();
  const now = useNow();
  // A key has at most two valid secrets.
  const isGraceImpossible = isRotating(apiKey, now);
  const [gracePeriod, setGracePeriod] = useState(isGraceImpossible ? 0 : DAY);
  const [rotated, setRotated] = useState<Schemas["CreatedApiKey"] | null>(null);
  const { isBusy, error, run } = useAction();
  const header = useIdempotencyKey(gracePeriod);
  const name = apiKey.name || apiKey.start;
  const rotate = (event: FormEvent) => {
    event.preventDefault();
    return run(async () => {
      const params = { path: { org_id: org, key_id: apiKey.id }, header };
      const body = { grace_seconds: gracePeriod / SECOND };
      setRotated(await unwrap(client.POST("/orgs/{org_id}/api_keys/{key_id}/rotate", { params, body })));
    });
  };
  const finish = async () => {
    onClose();
    await onChanged();
  };

  if (rotated !== null) {
    return (
      <Dialog key="rotated" title={`The new secret of ${name}`} onClose={null}>
        {rotated.key === null ? (
          <LostSecret onDone={finish} />
        ) : (
          <NewSecret secret={rotated.key} permission={apiKey.permissions[0]} onDone={finish} />
        )}
      </Dialog>
    );
  }
  if (me.api_key?.id === apiKey.id) {
    return (
      <Dialog title={`Rotate ${name}`} onClose={onClose}>
        <Notice tone="info">
          <strong>You are signed in with this key.</strong>
          <span>
            A session cannot rotate the key that it was created with. Sign in with another key, or call the API with the
            key itself: <code>{`POST /orgs/${org}/api_keys/${apiKey.id}/rotate`}</code>
          </span>
        </Notice>
        <div className="row end">
          <button type="button" onClick={onClose}>
            Close
          </button>
        </div>
      </Dialog>
    );
  }
  return (
    <Dialog title={`Rotate ${name}`} onClose={isBusy ? null : onClose}>
      <form className="stack" onSubmit={rotate}>
        <p>The key gets a new secret. Its permissions, limits and history are unchanged.</p>
        <fieldset className="stack compact">
          <legend>Grace period of the previous secret</legend>
          {GRACE_PERIODS.map(([label, length]) => (
            <label key={label} className="checkbox">
              <input
                type="radio"
                name="grace"
                checked={gracePeriod === length}
                disabled={isGraceImpossible && length > 0}
                onChange={() => setGracePeriod(length)}
              />
              {label}
            </label>
          ))}
        </fieldset>
        {isGraceImpossible && (
          <Notice tone="info">
            <span>A previous secret is still valid. A key has at most two, so this rotation revokes both at once.</span>
          </Notice>
        )}
        {gracePeriod === 0 && <RevokeImpact keys={[apiKey]} />}
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
