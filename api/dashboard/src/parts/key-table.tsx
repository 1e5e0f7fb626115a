// Keys, a line each.

import { Link } from "react-router";
import type { Key, PermissionSet } from "../api/client.ts";
import { isExpiringSoon, statusOf } from "../rules/status.ts";
import { each, relative } from "../rules/time.ts";
import { Chips, Count, Meter, StatusBadge, Time, useNow } from "./basics.tsx";
import { Owner } from "./names.tsx";
import { Restore } from "./restore.tsx";

interface Props {
  org: string;
  keys: Key[];
  sets: PermissionSet[];
  /** Null: nothing can be selected. */
  selected: ReadonlyMap<string, Key> | null;
  select: (keys: ReadonlyMap<string, Key>) => void;
}

export function KeyTable({ org, keys, sets, selected, select }: Props) {
  const isAll = selected !== null && keys.every((key) => selected.has(key.id));
  const toggle = (these: Key[], isOn: boolean) => {
    const next = new Map(selected);
    for (const key of these) {
      if (isOn) next.set(key.id, key);
      else next.delete(key.id);
    }
    select(next);
  };
  return (
    <div className="scroll">
      <table className="cards">
        <thead>
          <tr>
            {selected !== null && (
              <th className="tick">
                <input
                  type="checkbox"
                  aria-label="Select all on this page"
                  checked={isAll}
                  onChange={(event) => toggle(keys, event.target.checked)}
                />
              </th>
            )}
            <th scope="col">Name</th>
            <th scope="col">Permissions</th>
            <th scope="col">Owner</th>
            <th scope="col">Status</th>
            <th scope="col">Last used</th>
            <th scope="col" className="number">
              Uses
            </th>
            <th scope="col">Uses left</th>
          </tr>
        </thead>
        <tbody>
          {keys.map((key) => (
            <tr key={key.id}>
              {selected !== null && (
                <td className="tick">
                  <input
                    type="checkbox"
                    aria-label={`Select ${key.name || key.start}`}
                    checked={selected.has(key.id)}
                    onChange={(event) => toggle([key], event.target.checked)}
                  />
                </td>
              )}
              <th scope="row">
                {key.deleted_at === null ? (
                  <Link to={`/orgs/${org}/keys/${key.id}`} className="keyname">
                    {key.name || "Unnamed key"}
                  </Link>
                ) : (
                  <span className="keyname">{key.name || "Unnamed key"}</span>
                )}
                <br />
                <code className="faint small">{key.start}…</code>
              </th>
              <td data-label="Permissions">
                <Chips of={key.permissions} sets={names(key, sets)} most={3} />
              </td>
              <td data-label="Owner">
                <Owner org={org} user={key.user_id} />
              </td>
              <td data-label="Status">
                <Standing of={key} />
                {key.deleted_at !== null && <Restore org={org} of={key} />}
              </td>
              <td data-label="Last used">
                <Time at={key.last_used_at} />
              </td>
              <td data-label="Uses" className="number">
                <Count of={key.request_count} />
              </td>
              <td data-label="Uses left">
                <Left of={key} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** What the sets of a key or a member are called. */
export function names(of: { permission_sets: string[] }, sets: PermissionSet[]): string[] {
  return of.permission_sets.map((id) => sets.find((set) => set.id === id)?.name ?? "a permission set");
}

/** The status, and since or until when where that says more. */
export function Standing({ of }: { of: Key }) {
  const now = useNow();
  const status = statusOf(of, now);
  const moment = {
    expired: of.expires_at,
    "expiring soon": of.expires_at,
    "not yet valid": of.not_before,
    rotating: of.previous_secret_expires_at,
    revoked: of.deleted_at,
    active: null,
    disabled: null,
    "used up": null,
  }[status];
  return (
    <span className="row">
      <StatusBadge status={status} />
      {status === "rotating" && isExpiringSoon(of, now) && <StatusBadge status="expiring soon" />}
      {moment !== null && (
        <span className="faint small nowrap">
          {status === "rotating" ? "ends " : ""}
          {relative(moment, now)}
        </span>
      )}
    </span>
  );
}

/** Uses that are left, and of how many, where it is known. */
export function Left({ of }: { of: Key }) {
  if (of.remaining === null) return <span className="faint">unlimited</span>;
  return (
    <span>
      <Count of={of.remaining} />
      {of.refill_amount !== null && of.refill_interval !== null && (
        <>
          {" "}
          <span className="faint small">
            of <Count of={of.refill_amount} /> every {each(of.refill_interval)}
          </span>
        </>
      )}
      <Meter left={of.remaining} of={of.refill_amount ?? of.remaining + of.request_count} />
    </span>
  );
}
