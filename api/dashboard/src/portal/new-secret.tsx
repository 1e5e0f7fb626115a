// The new secret of a key, which is shown once. It is in the memory of this page while it is shown, and nowhere else.

import { CopyButton } from "../components/ui/copy-button.tsx";
import { Notice } from "../components/ui/notice.tsx";
import { useKeepPageOpen } from "../hooks/use-keep-page-open.ts";

/** `secret` null: the operation succeeded, but the response with the secret was lost. */
export function NewSecret({ secret, onDone }: { secret: string | null; onDone: () => void }) {
  useKeepPageOpen();
  return (
    <div className="stack">
      {secret === null ? (
        <div role="alert">
          <Notice tone="danger">
            <strong>The operation succeeded, but its response was lost.</strong>
            <span>The secret cannot be shown again. Rotate the key to get another one.</span>
          </Notice>
        </div>
      ) : (
        <>
          <Notice tone="warning">
            <strong>You will not see this secret again.</strong>
            <span>Copy it now to where it will be used.</span>
          </Notice>
          <div className="secret">
            <output aria-label="The new secret">{secret}</output>
            <CopyButton text={secret} label="secret" isPrimary />
          </div>
        </>
      )}
      <div className="row end">
        <button type="button" className="primary" onClick={onDone}>
          {secret === null ? "Continue" : "I have stored it"}
        </button>
      </div>
    </div>
  );
}
