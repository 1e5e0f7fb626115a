// Says that a form has what was entered into it before.

import { Notice } from "../../ui/notice.tsx";

export function RestoredNotice({ onDiscard }: { onDiscard: () => void }) {
  return (
    <Notice>
      <span>Your unsaved changes were restored.</span>
      <span>
        <button type="button" className="small" onClick={onDiscard}>
          Discard changes
        </button>
      </span>
    </Notice>
  );
}
