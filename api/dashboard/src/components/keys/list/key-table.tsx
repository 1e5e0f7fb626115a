// The list of keys as a table: one line for each key. On a phone each key is a card.

import { ShieldUser } from "lucide-react";
import { Link } from "react-router";
import type { Key, PermissionSet } from "../../../api/client.ts";
import { useKeysUsage } from "../../../hooks/use-keys-usage.ts";
import type { Sort } from "../../../lib/keys/key-filters.ts";
import { setNames } from "../../../lib/permissions.ts";
import { Owner } from "../../names.tsx";
import { PermissionLine } from "../../permission-chips.tsx";
import { FormattedNumber } from "../../ui/formatted-number.tsx";
import { RelativeTime } from "../../ui/relative-time.tsx";
import { SortHeader } from "../../ui/sort-header.tsx";
import { KeySparkline } from "../../usage/key-sparkline.tsx";
import { RestoreKey } from "../actions/restore-key.tsx";
import { KeyStatus } from "../key-status.tsx";
import { UsesLeft } from "../uses-left.tsx";
import { KeyMenu } from "./key-menu.tsx";

interface Props {
  org: string;
  keys: Key[];
  sets: PermissionSet[];
  /** The selected keys by id; null: keys cannot be selected. */
  selected: ReadonlyMap<string, Key> | null;
  onSelect: (keys: ReadonlyMap<string, Key>) => void;
  sort: Sort;
  onSort: (sort: Sort) => void;
}

export function KeyTable({ org, keys, sets, selected, onSelect, sort, onSort }: Props) {
  const usage = useKeysUsage(
    org,
    keys.map(({ id }) => id),
  );
  const isAll = selected !== null && keys.every((key) => selected.has(key.id));
  const toggle = (toggled: Key[], isOn: boolean) => {
    const next = new Map(selected);
    for (const key of toggled) {
      if (isOn) next.set(key.id, key);
      else next.delete(key.id);
    }
    onSelect(next);
  };
  // Columns that would be the same for every key on the page are left out.
  const hasOwners = keys.some((key) => key.user_id !== null);
  const hasUses = keys.some((key) => key.remaining !== null);
  const all = (
    <input
      type="checkbox"
      aria-label="Select all on this page"
      checked={isAll}
      onChange={(event) => toggle(keys, event.target.checked)}
    />
  );
  return (
    <>
      {/* The header with its checkbox is not shown on a phone. */}
      {selected !== null && <label className="checkbox select-all">{all} Select all on this page</label>}
      <div className="table-scroll">
        <table className="responsive-table key-table">
          <thead>
            <tr>
              {selected !== null && <th className="checkbox-cell">{all}</th>}
              <SortHeader label="Name" orders={["name", "-name"]} {...{ sort, onSort }} />
              <th scope="col">Status</th>
              <th scope="col">Permissions</th>
              {hasOwners && (
                <th scope="col" className="owner-cell">
                  Owner
                </th>
              )}
              <SortHeader label="Last used" orders={["-last_used_at", "last_used_at"]} {...{ sort, onSort }} />
              <th scope="col" className="usage-column">
                Last 7 days
              </th>
              <SortHeader
                label="Uses"
                title="Valid verifications since the creation"
                className="number"
                orders={["-request_count", "request_count"]}
                {...{ sort, onSort }}
              />
              {hasUses && (
                <th scope="col" className="wide-only">
                  Uses left
                </th>
              )}
              <SortHeader label="Expires" orders={["expires_at", "-expires_at"]} {...{ sort, onSort }} />
              <SortHeader
                label="Created"
                className="wide-only"
                orders={["-created_at", "created_at"]}
                {...{ sort, onSort }}
              />
              <th scope="col" className="menu-cell">
                <span className="visually-hidden">Actions</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {keys.map((key) => (
              <tr key={key.id}>
                {selected !== null && (
                  <td className="checkbox-cell">
                    <input
                      type="checkbox"
                      aria-label={`Select ${key.name || key.start}`}
                      checked={selected.has(key.id)}
                      onChange={(event) => toggle([key], event.target.checked)}
                    />
                  </td>
                )}
                <th scope="row">
                  <NameCell org={org} apiKey={key} />
                </th>
                <td data-label="Status" className="status-cell">
                  <KeyStatus apiKey={key} isShort />
                  {key.deleted_at !== null && <RestoreKey org={org} apiKey={key} />}
                </td>
                <td data-label="Permissions" className="permission-cell">
                  <PermissionLine permissions={key.permissions} sets={setNames(key.permission_sets, sets)} />
                </td>
                {hasOwners && (
                  <td data-label="Owner" className={`owner-cell ${key.user_id === null ? "usual" : ""}`}>
                    <Owner org={org} user={key.user_id} />
                  </td>
                )}
                <td data-label="Last used">
                  <RelativeTime at={key.last_used_at} />
                </td>
                <td data-label="Last 7 days" className="usage-column">
                  <KeySparkline values={usage?.get(key.id) ?? []} />
                </td>
                <td data-label="Uses" className="number">
                  <FormattedNumber value={key.request_count} />
                </td>
                {hasUses && (
                  <td data-label="Uses left" className={`wide-only ${key.remaining === null ? "usual" : ""}`}>
                    <UsesLeft apiKey={key} />
                  </td>
                )}
                <td data-label="Expires">
                  <RelativeTime at={key.expires_at} />
                </td>
                <td data-label="Created" className="wide-only usual">
                  <RelativeTime at={key.created_at} />
                </td>
                <td className="menu-cell">
                  <KeyMenu org={org} apiKey={key} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

/** The name, the start of the secret, and the description if there is room for it. */
function NameCell({ org, apiKey }: { org: string; apiKey: Key }) {
  const name = apiKey.name || "Unnamed key";
  return (
    <div className="name-cell">
      <Link
        to={`/orgs/${org}/keys/${apiKey.id}`}
        className="key-name"
        title={apiKey.description === null ? name : `${name}: ${apiKey.description}`}
      >
        {name}
      </Link>
      <code className="muted small">{apiKey.start}…</code>
      {apiKey.can_manage && (
        <span className="manages" title="Manages Claviger">
          <ShieldUser size={15} aria-hidden />
          <span className="visually-hidden">Manages Claviger</span>
        </span>
      )}
      {apiKey.description !== null && <span className="muted small description">{apiKey.description}</span>}
    </div>
  );
}
