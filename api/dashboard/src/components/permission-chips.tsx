// Permissions and permission sets as chips.

import { useState } from "react";
import { formatPermission, parsePermission } from "../lib/permissions.ts";

interface Props {
  permissions: readonly string[];
  /** Names of permission sets. */
  sets?: readonly string[];
  /** Number of permissions that are shown before "more" is clicked. */
  max?: number;
}

export function PermissionChips({ permissions, sets = [], max = 6 }: Props) {
  const [isExpanded, setExpanded] = useState(false);
  if (permissions.length + sets.length === 0) return <span className="muted">none</span>;
  const hidden = isExpanded ? 0 : permissions.length - max;
  return (
    <ul className="chips">
      {(isExpanded ? permissions : permissions.slice(0, max)).map((text) => (
        <li key={text} className={`chip ${isWildcard(text) ? "wildcard" : ""}`}>
          {isWildcard(text) ? "* everything" : text}
        </li>
      ))}
      {hidden > 0 && (
        <li className="chip">
          <button type="button" onClick={() => setExpanded(true)}>
            +{hidden} more
          </button>
        </li>
      )}
      {sets.map((name) => (
        <li key={name} className="chip permission-set" title="A permission set">
          {name}
        </li>
      ))}
    </ul>
  );
}

function isWildcard(text: string): boolean {
  const permission = parsePermission(text);
  return permission !== null && formatPermission(permission) === "*";
}
