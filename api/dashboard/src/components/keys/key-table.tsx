// The list of keys as a table.

import { Link } from "react-router";
import type { Key, PermissionSet } from "../../api/client.ts";
import { FIELD_LIST } from "../../lib/key-fields.ts";
import { setNames } from "../../lib/permissions.ts";
import { Owner } from "../names.tsx";
import { PermissionChips } from "../permission-chips.tsx";
import { FormattedNumber } from "../ui/formatted-number.tsx";
import { RelativeTime } from "../ui/relative-time.tsx";
import { PurposeBadge } from "./key-purpose.tsx";
import { KeyStatus } from "./key-status.tsx";
import { RestoreKey } from "./restore-key.tsx";
import { UsesLeft } from "./uses-left.tsx";

interface Props {
  org: string;
  keys: Key[];
  sets: PermissionSet[];
  /** The selected keys by id; null: keys cannot be selected. */
  selected: ReadonlyMap<string, Key> | null;
  onSelect: (keys: ReadonlyMap<string, Key>) => void;
}

export function KeyTable({ org, keys, sets, selected, onSelect }: Props) {
  const isAll = selected !== null && keys.every((key) => selected.has(key.id));
  const toggle = (toggled: Key[], isOn: boolean) => {
    const next = new Map(selected);
    for (const key of toggled) {
      if (isOn) next.set(key.id, key);
      else next.delete(key.id);
    }
    onSelect(next);
  };
  return (
    <div className="table-scroll">
      <table className="responsive-table">
        <thead>
          <tr>
            {selected !== null && (
              <th className="checkbox-cell">
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
              Total uses
            </th>
            <th scope="col">Uses left</th>
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
                {key.deleted_at === null ? (
                  <Link to={`/orgs/${org}/keys/${key.id}`} className="key-name">
                    {key.name || "Unnamed key"}
                  </Link>
                ) : (
                  <span className="key-name">{key.name || "Unnamed key"}</span>
                )}
                <ListedSettings apiKey={key} />
                <div>
                  <code className="muted small">{key.start}…</code>
                </div>
              </th>
              <td data-label="Permissions">
                <div>
                  <PermissionChips permissions={key.permissions} sets={setNames(key.permission_sets, sets)} max={3} />
                  <PurposeBadge canManage={key.can_manage} />
                </div>
              </td>
              <td data-label="Owner">
                <Owner org={org} user={key.user_id} />
              </td>
              <td data-label="Status">
                <div>
                  <KeyStatus apiKey={key} />
                  {key.deleted_at !== null && <RestoreKey org={org} apiKey={key} />}
                </div>
              </td>
              <td data-label="Last used">
                <RelativeTime at={key.last_used_at} />
              </td>
              <td data-label="Total uses" className="number">
                <FormattedNumber value={key.request_count} />
              </td>
              <td data-label="Uses left">
                <UsesLeft apiKey={key} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** The settings that the list shows below the name, each truncated to one line. */
function ListedSettings({ apiKey }: { apiKey: Key }) {
  return FIELD_LIST.filter(([, field]) => field.isInList).map(([name, field]) => {
    const value = field.fromKey(apiKey);
    if (value === field.initial) return null;
    const text = field.format(value, (id) => id);
    return (
      <span key={name} className="muted small truncated" title={text}>
        {text}
      </span>
    );
  });
}
