// Drafts: what was entered into a form, so that it is there again after a new sign-in or after going back. They are in memory only,
// and only for the caller who entered them.

import { useState } from "react";
import type { Me } from "../api/client.ts";
import { useMe } from "./use-me.ts";

/** The most drafts that are kept; then the oldest is removed. */
const MAX_DRAFTS = 20;

const drafts = new Map<string, { owner: string; value: unknown }>();

/** Removes all drafts: the caller has signed out. */
export function forgetDrafts(): void {
  drafts.clear();
}

function ownerOf({ identity, user, api_key }: Me): string {
  return identity === null ? (user?.id ?? api_key?.id ?? "") : `${identity.issuer} ${identity.subject}`;
}

export interface Draft<T> {
  /** What was entered before; null: nothing. */
  restored: T | null;
  /** Keeps what was entered; null: there is nothing to keep. */
  save: (value: T | null) => void;
}

/** The draft of the form with this name, which is unique in the dashboard. */
export function useDraft<T>(name: string): Draft<T> {
  const owner = ownerOf(useMe());
  const [restored] = useState(() => {
    const draft = drafts.get(name);
    return draft?.owner === owner ? (draft.value as T) : null;
  });
  const save = (value: T | null) => {
    drafts.delete(name);
    if (value === null) return;
    drafts.set(name, { owner, value });
    const [oldest] = drafts.keys();
    if (drafts.size > MAX_DRAFTS && oldest !== undefined) drafts.delete(oldest);
  };
  return { restored, save };
}
