// The new secret of a key, which is shown once. The page keeps it in memory while it is shown, and nowhere else.

import { useKeepPageOpen } from "../../../hooks/use-keep-page-open.ts";
import { CopyButton } from "../../ui/copy-button.tsx";
import { Notice } from "../../ui/notice.tsx";
import { ProtectApi } from "./protect-api.tsx";

interface Props {
  secret: string;
  /** A permission of the key, for the examples. */
  permission: string | undefined;
  onDone: () => void;
}

export function NewSecret({ secret, permission, onDone }: Props) {
  useKeepPageOpen();
  return (
    <div className="stack">
      <Notice tone="warning">
        <strong>You will not see this key again.</strong>
        <span>
          Claviger stores only a hash of it. Copy it now to where it will be used; if it is lost, rotate the key.
        </span>
      </Notice>
      <div className="secret">
        <output aria-label="The new key">{secret}</output>
        <CopyButton text={secret} label="key" isPrimary />
      </div>
      <ProtectApi permission={permission} />
      <div className="row end">
        <button type="button" className="primary" onClick={onDone}>
          I have stored it
        </button>
      </div>
    </div>
  );
}

/** Shown in place of the secret if the request was executed but its first response, with the secret, was lost. */
export function LostSecret({ onDone }: { onDone: () => void }) {
  return (
    <div className="stack" role="alert">
      <Notice tone="danger">
        <strong>The operation succeeded, but its response was lost.</strong>
        <span>The new secret cannot be shown again. Rotate the key without a grace period to get another one.</span>
      </Notice>
      <div className="row end">
        <button type="button" className="primary" onClick={onDone}>
          Continue
        </button>
      </div>
    </div>
  );
}
