// What every dialog of the portal needs.

import type { PortalClient } from "./api.ts";

export interface DialogProps {
  client: PortalClient;
  onClose: () => void;
  /** Reads the keys again. */
  onChanged: () => Promise<void>;
  /** The session has ended. */
  onEnded: () => void;
}
