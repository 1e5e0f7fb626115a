// A summary of the key form in words: permissions, expiry and limits.

import { Check, X } from "lucide-react";
import type { PermissionSet } from "../../../api/client.ts";
import { useMe } from "../../../hooks/use-me.ts";
import { useNow } from "../../../hooks/use-now.ts";
import type { KeyFormValues } from "../../../lib/keys/key-fields.ts";
import { effectivePermissions } from "../../../lib/keys/key-form-model.ts";
import { formatRate, isInteger, parseNetworks } from "../../../lib/keys/key-values.ts";
import { describePermission, isServicePermission, missingFrom } from "../../../lib/permissions.ts";
import { formatExact, formatRelative, fromDateTimeInput } from "../../../lib/time.ts";
import { Notice } from "../../ui/notice.tsx";

interface Props {
  form: KeyFormValues;
  sets: PermissionSet[];
  /** The caller's permissions; null: unknown. */
  held: string[] | null;
  isNew: boolean;
}

export function KeySummary({ form, sets, held, isNew }: Props) {
  const me = useMe();
  const now = useNow();
  const all = effectivePermissions(form, sets);
  const missing = missingFrom(held, all);
  // Permissions of the service have no effect for a key that cannot manage it.
  const hasNoEffect = (permission: string) => !form.can_manage && isServicePermission(permission);
  const describe = (permission: string) =>
    permission === "*" && !form.can_manage ? "do everything in your own API" : describePermission(permission);
  const isDenied = (permission: string) => missing.includes(permission) || hasNoEffect(permission);
  // By default, a new key expires with the key that creates it.
  const expires = fromDateTimeInput(form.expires_at) ?? (isNew ? (me.api_key?.expires_at ?? null) : null);
  const validFrom = fromDateTimeInput(form.not_before);
  const unknownSets = form.permission_sets.filter((id) => !sets.some((set) => set.id === id)).length;
  const networks = parseNetworks(form.allowed_addresses);
  return (
    <div className="stack" aria-live="polite">
      {unknownSets > 0 && (
        <p>
          You cannot see the permissions of{" "}
          {unknownSets === 1 ? "one permission set" : `${unknownSets} permission sets`}.
        </p>
      )}
      {all.length === 0 && unknownSets === 0 ? (
        <Notice tone="warning">
          <span>No permissions yet. The key only identifies the caller.</span>
        </Notice>
      ) : (
        <ul className="plain-list">
          {all.map((permission) => (
            <li key={permission} className={isDenied(permission) ? "denied" : ""}>
              {isDenied(permission) ? <X size={16} aria-hidden /> : <Check size={16} aria-hidden />}
              <span>
                Can {describe(permission)}
                {hasNoEffect(permission) && <strong> – not with this key, which cannot manage Claviger</strong>}
                {missing.includes(permission) && <strong> – you do not hold this, so you cannot grant it</strong>}
              </span>
            </li>
          ))}
        </ul>
      )}
      {all.includes("*") && form.can_manage && (
        <Notice tone="warning">
          <span>This key has all permissions. Few programs need that.</span>
        </Notice>
      )}
      <dl className="description-list">
        <dt>Expires</dt>
        <dd>{expires === null ? "never" : <Time at={expires} now={now} />}</dd>
        {validFrom !== null && (
          <>
            <dt>Valid from</dt>
            <dd title={formatExact(validFrom)}>{formatRelative(validFrom, now)}</dd>
          </>
        )}
        <dt>Rate limit</dt>
        <dd>{formatRate(form.rate_limit, "per")}</dd>
        <dt>Uses</dt>
        <dd>{usesText(form, isNew)}</dd>
        <dt>IP addresses</dt>
        <dd>{networks.length === 0 ? "any" : networks.join(", ")}</dd>
      </dl>
    </div>
  );
}

/** A time at which the key expires. One in the past stands out. */
function Time({ at, now }: { at: string; now: number }) {
  return (
    <span title={formatExact(at)} className={Date.parse(at) <= now ? "field-error" : undefined}>
      {formatRelative(at, now)}
    </span>
  );
}

/** "5,000 in total refilled to 5,000 every day". */
function usesText({ remaining, refill }: KeyFormValues, isNew: boolean): string {
  if (remaining === "" && refill.count === "") return "unlimited";
  const count = isInteger(remaining, 0) ? Number(remaining).toLocaleString("en") : "…";
  const uses = remaining === "" ? "" : `${count} ${isNew ? "in total" : "left"}`;
  return refill.count === "" ? uses : `${uses} refilled to ${formatRate(refill, "every")}`;
}
