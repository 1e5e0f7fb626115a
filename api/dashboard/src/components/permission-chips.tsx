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

interface Chip {
  text: string;
  kind: "permission" | "wildcard" | "permission-set";
}

export function PermissionChips({ permissions, sets = [], max = 6 }: Props) {
  const chips = [...chipsOf(permissions, []), ...chipsOf([], sets)];
  const isKept = (chip: Chip, place: number) => chip.kind === "permission-set" || place < max;
  return <Chips chips={chips} isKept={isKept} />;
}

/** Characters of the chips in one line of a table. */
const LINE_LENGTH = 34;

/** As `PermissionChips`, in one line: sets first, and as many permissions as there is room for. */
export function PermissionLine({ permissions, sets = [] }: Omit<Props, "max">) {
  const chips = chipsOf(permissions, sets);
  // The border of a chip takes as much room as four characters.
  const ends = chips.map((_, place) => chips.slice(0, place + 1).reduce((sum, { text }) => sum + text.length + 4, 0));
  return <Chips chips={chips} isKept={(_, place) => place === 0 || (ends[place] ?? 0) <= LINE_LENGTH} isLine />;
}

function chipsOf(permissions: readonly string[], sets: readonly string[]): Chip[] {
  return [
    ...sets.map((text) => ({ text, kind: "permission-set" as const })),
    ...permissions.map((text) =>
      isWildcard(text) ? { text: "* everything", kind: "wildcard" as const } : { text, kind: "permission" as const },
    ),
  ];
}

interface ChipsProps {
  chips: Chip[];
  /** Whether a chip is shown before "more" is clicked. */
  isKept: (chip: Chip, place: number) => boolean;
  isLine?: boolean;
}

function Chips({ chips, isKept, isLine = false }: ChipsProps) {
  const [isExpanded, setExpanded] = useState(false);
  if (chips.length === 0) return <span className="muted">none</span>;
  const shown = isExpanded ? chips : chips.filter(isKept);
  const hidden = chips.length - shown.length;
  return (
    <ul className={`chips ${isLine && !isExpanded ? "line" : ""}`}>
      {shown.map(({ text, kind }) => (
        <li
          key={`${kind} ${text}`}
          className={`chip ${kind}`}
          title={kind === "permission-set" ? `Permission set ${text}` : text}
        >
          {text}
        </li>
      ))}
      {hidden > 0 && (
        <li className="chip more">
          <button type="button" aria-label={`Show ${hidden} more permissions`} onClick={() => setExpanded(true)}>
            +{hidden}
          </button>
        </li>
      )}
    </ul>
  );
}

function isWildcard(text: string): boolean {
  const permission = parsePermission(text);
  return permission !== null && formatPermission(permission) === "*";
}
