// What a key will be able to do, in words, while it is being filled in.

import { Check, X } from "lucide-react";
import type { PermissionSet } from "../api/client.ts";
import { type Draft, granted, paceWords } from "../rules/draft.ts";
import { beyond, inWords } from "../rules/permissions.ts";
import { exact, fromField, relative } from "../rules/time.ts";
import { Notice, useNow } from "./basics.tsx";

export function KeySummary({ draft, sets, held }: { draft: Draft; sets: PermissionSet[]; held: string[] | null }) {
  const now = useNow();
  const all = granted(draft, sets);
  const missing = beyond(held, all);
  const expires = fromField(draft.expires);
  const begins = fromField(draft.notBefore);
  const networks = draft.addresses.split(/[\s,]+/).filter((text) => text !== "");
  return (
    <div className="stack" aria-live="polite">
      {all.length === 0 ? (
        <Notice tone="warn">
          <span>It can do nothing yet: it proves who calls, and no more.</span>
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
            `${Number(draft.remaining) >= 0 ? Number(draft.remaining).toLocaleString("en") : "…"} in all`}
          {draft.refill.count !== "" && ` refilled to ${paceWords(draft.refill, "every")}`}
        </dd>
        <dt>From</dt>
        <dd>{networks.length === 0 ? "any address" : networks.join(", ")}</dd>
      </dl>
    </div>
  );
}
