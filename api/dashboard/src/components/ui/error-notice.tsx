// An error: what went wrong, the request's id, and a button to try again.

import { ApiError } from "../../api/client.ts";
import { canRetry, errorMessage } from "../../lib/messages.ts";
import { Notice } from "./notice.tsx";

export function ErrorNotice({ error, retry }: { error: unknown; retry?: (() => void) | undefined }) {
  return (
    <div role="alert">
      <Notice tone="danger">
        <span>{errorMessage(error)}</span>
        {error instanceof ApiError && error.requestId !== null && (
          <span className="small muted">
            Request id <code>{error.requestId}</code>
          </span>
        )}
        {retry !== undefined && canRetry(error) && (
          <span>
            <button type="button" className="small" onClick={retry}>
              Try again
            </button>
          </span>
        )}
      </Notice>
    </div>
  );
}
