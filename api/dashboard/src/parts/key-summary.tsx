// What a key will be able to do, in words, while it is being filled in.

import { Check, X } from "lucide-react";
import type { PermissionSet } from "../api/client.ts";
import { type Draft, granted, networksOf, paceWords } from "../rules/draft.ts";
import { beyond, inWords } from "../rules/permissions.ts";
import { exact, fromField, relative } from "../rules/time.ts";
import { useMe } from "../session.tsx";
import { Notice, useNow } from "./basics.tsx";

interface Props {
  draft: Draft;
  sets: PermissionSet[];
  held: string[] | null;
  isNew: boolean;
}

export function KeySummary({ draft, sets, held, isNew }: Props) {
  const me = useMe();
  const now = useNow();
  const all = granted(draft, sets);
  const missing = beyond(held, all);
  // What a key makes ends with it, at the latest.
  const expires = fromField(draft.expires) ?? (isNew ? (me.api_key?.expires_at ?? null) : null);
  const unknown = draft.sets.filter((id) => !sets.some((set) => set.id === id)).length;
  const begins = fromField(draft.notBefore);
  const networks = networksOf(draft);
  return (
    <div className="stack" aria-live="polite">
      {unknown > 0 && (
        <p>
          What {unknown === 1 ? "a permission set" : `${unknown} permission sets`} of it may do is not for you to see.
        </p>
      )}
      {all.length === 0 && unknown === 0 ? (
        <Notice tone="warn">
          <span>No permissions yet. It only tells who calls.</span>
        </Notice>
      ) : (
        <ul className="can">
          {all.map((permission) => (
            <li key={permission} className={missing.includes(permission) ? "no" : ""}>
              {missing.includes(permission) ? <X size={16} aria-hidden /> : <Check size={16} aria-hidden />}
              <span>
                Can {inWords(permission)}
                {missing.includes(permission) && (
                  <strong> – you do not hold this yourself, so you cannot give it</strong>
                )}
              </span>
            </li>
          ))}
        </ul>
      )}
      {all.includes("*") && (
        <Notice tone="warn">
          <span>Whoever has this key can do all that you can. Few programs need that.</span>
        </Notice>
      )}
      <dl className="facts">
        <dt>Ends</dt>
        <dd>{expires === null ? "never" : <span title={exact(expires)}>{relative(expires, now)}</span>}</dd>
        {begins !== null && (
          <>
            <dt>Begins</dt>
            <dd title={exact(begins)}>{relative(begins, now)}</dd>
          </>
        )}
        <dt>Rate</dt>
        <dd>{draft.rate.count === "" ? "no limit" : `at most ${paceWords(draft.rate, "per")}`}</dd>
        <dt>Uses</dt>
        <dd>
          {draft.remaining === "" && draft.refill.count === "" && "any number"}
          {draft.remaining !== "" &&
            `${Number(draft.remaining) >= 0 ? Number(draft.remaining).toLocaleString("en") : "…"} ${isNew ? "in all" : "left"}`}
          {draft.refill.count !== "" && ` refilled to ${paceWords(draft.refill, "every")}`}
        </dd>
        <dt>From</dt>
        <dd>{networks.length === 0 ? "any address" : networks.join(", ")}</dd>
      </dl>
    </div>
  );
}
