// Choosing permissions: by permission set, by resource and action from the caller's permissions, or as typed text.

import { Plus, X } from "lucide-react";
import { type KeyboardEvent, useEffect, useId, useRef, useState } from "react";
import type { PermissionSet } from "../api/client.ts";
import {
  ANY,
  describePermission,
  formatPermission,
  groupByResource,
  holds,
  isServicePermission,
  isServiceResource,
  missingFrom,
  parsePermission,
  SERVICE_RESOURCE_PERMISSIONS,
} from "../lib/permissions.ts";

interface Props {
  /** The caller's permissions; null: unknown. */
  held: string[] | null;
  /** The permissions that policies allow, with their descriptions; null: any. */
  catalogue?: Map<string, string | null> | null;
  /** The permission sets of the organization. */
  sets: PermissionSet[];
  permissions: string[];
  /** Ids of the chosen permission sets. */
  chosenSets: string[];
  onChange: (permissions: string[], sets: string[]) => void;
}

export function PermissionPicker({ held, catalogue = null, sets, permissions, chosenSets, onChange }: Props) {
  const [isOpen, setOpen] = useState(() => permissions.some(isServicePermission));
  const allowed = catalogue === null ? null : [...catalogue.keys()];
  const resources = [...choicesOf(held, allowed, sets, permissions)];
  const toggle = (permission: string, isOn: boolean) =>
    onChange(isOn ? [...permissions, permission] : permissions.filter((other) => other !== permission), chosenSets);
  const toggleSet = (id: string, isOn: boolean) =>
    onChange(permissions, isOn ? [...chosenSets, id] : chosenSets.filter((other) => other !== id));
  const rows = (isOfService: boolean) =>
    resources
      .filter(([resource]) => isServiceResource(resource) === isOfService)
      .map(([resource, actions]) => <Resource key={resource} {...{ resource, actions, held, permissions, toggle }} />);
  return (
    <div className="stack">
      {sets.length > 0 && (
        <fieldset className="stack compact">
          <legend>Permission sets</legend>
          <p className="hint">Editing a set changes every key that has it.</p>
          <div>
            {sets.map((set) => {
              const missing = missingFrom(held, set.permissions);
              const isOn = chosenSets.includes(set.id);
              return (
                <label
                  key={set.id}
                  className="checkbox"
                  title={missing.length > 0 ? "It has permissions that you do not hold" : undefined}
                >
                  <input
                    type="checkbox"
                    checked={isOn}
                    disabled={missing.length > 0 && !isOn}
                    onChange={(event) => toggleSet(set.id, event.target.checked)}
                  />
                  {set.name} <span className="muted small">{set.permissions.join(", ") || "nothing"}</span>
                </label>
              );
            })}
          </div>
        </fieldset>
      )}
      <PermissionEntry
        held={held}
        permissions={permissions}
        onAdd={(added) => onChange([...permissions, ...added], chosenSets)}
      />
      {permissions.length > 0 && (
        <ul className="chips" aria-label="Chosen permissions">
          {permissions.map((permission) => (
            <li key={permission} className={`chip ${missingFrom(held, [permission]).length > 0 ? "invalid" : ""}`}>
              {permission}
              <button type="button" aria-label={`Remove ${permission}`} onClick={() => toggle(permission, false)}>
                <X size={14} aria-hidden />
              </button>
            </li>
          ))}
        </ul>
      )}
      {catalogue !== null && (
        <fieldset className="stack compact">
          <legend>Allowed permissions</legend>
          {[...catalogue].map(([permission, description]) => {
            const isMissing = missingFrom(held, [permission]).length > 0;
            const isOn = permissions.includes(permission);
            return (
              <label
                key={permission}
                className="checkbox"
                title={isMissing ? "You do not hold this permission" : undefined}
              >
                <input
                  type="checkbox"
                  checked={isOn}
                  disabled={isMissing && !isOn}
                  onChange={(event) => toggle(permission, event.target.checked)}
                />
                <code>{permission}</code> {description ?? `Can ${describePermission(permission)}`}
              </label>
            );
          })}
        </fieldset>
      )}
      <fieldset className="stack compact">
        <legend>Choose from your permissions</legend>
        <section className="permission-picker" aria-label="Your resources">
          {rows(false)}
        </section>
        <details open={isOpen} onToggle={(event) => setOpen(event.currentTarget.open)}>
          <summary>Managing Claviger itself</summary>
          <section className="permission-picker" aria-label="Managing Claviger itself">
            {rows(true)}
          </section>
        </details>
      </fieldset>
    </div>
  );
}

/** The permissions to choose from, by resource: those that are chosen, of the caller, of the sets, and of the service.
 * `allowed`: what policies allow; null: any. */
function choicesOf(
  held: string[] | null,
  allowed: string[] | null,
  sets: PermissionSet[],
  permissions: string[],
): Map<string, string[]> {
  const ofSets = sets.flatMap((set) => set.permissions);
  const all = [...permissions, ...(held ?? []), ...ofSets, ...SERVICE_RESOURCE_PERMISSIONS];
  const isChoice = (permission: string) =>
    missingFrom(held, [permission]).length === 0 && missingFrom(allowed, [permission]).length === 0;
  return groupByResource(all.filter(isChoice));
}

interface ResourceProps {
  resource: string;
  actions: string[];
  held: string[] | null;
  permissions: string[];
  toggle: (permission: string, isOn: boolean) => void;
}

function Resource({ resource, actions, held, permissions, toggle }: ResourceProps) {
  const id = useId();
  const all = formatPermission({ resource, action: ANY });
  const offered = actions.includes(ANY) || missingFrom(held, [all]).length > 0 ? actions : [...actions, ANY];
  return (
    <div className="resource" role="group" aria-labelledby={id}>
      <span id={id}>{resource === ANY ? "Every resource" : <code>{resource}</code>}</span>
      <div className="actions">
        {offered.map((action) => {
          const permission = formatPermission({ resource, action });
          const isOn = permissions.includes(permission);
          const isIncluded = !isOn && holds(permissions, permission);
          return (
            <label key={action} className="checkbox" title={`Can ${describePermission(permission)}`}>
              <input
                type="checkbox"
                checked={isOn || isIncluded}
                disabled={isIncluded}
                onChange={(event) => toggle(permission, event.target.checked)}
              />
              {action === ANY ? "everything" : action}
            </label>
          );
        })}
      </div>
    </div>
  );
}

/** Name of the entry field in its form. */
const ENTRY_NAME = "permission-entry";

/** Whether the entry field of a form has no text that was not added. If it has, reports it at the field. */
export function isPermissionEntryEmpty(form: HTMLFormElement): boolean {
  const entry = form.elements.namedItem(ENTRY_NAME);
  return !(entry instanceof HTMLInputElement) || entry.reportValidity();
}

interface EntryProps {
  held: string[] | null;
  permissions: string[];
  onAdd: (permissions: string[]) => void;
}

function PermissionEntry({ held, permissions, onAdd }: EntryProps) {
  const [text, setText] = useState("");
  const input = useRef<HTMLInputElement>(null);
  const id = useId();
  const words = text.split(/[\s,]+/).filter((word) => word !== "");
  const error = errorOf(words, held);
  useEffect(() => {
    const pending = words.length === 0 ? "" : (error ?? "Press Add to add this permission, or clear the field.");
    input.current?.setCustomValidity(pending);
  });
  const add = () => {
    if (words.length === 0 || error !== null) return;
    const added = new Set(words.flatMap((word) => parsePermission(word) ?? []).map(formatPermission));
    onAdd([...added].filter((permission) => !permissions.includes(permission)));
    setText("");
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== "Enter" && event.key !== ",") return;
    event.preventDefault();
    add();
  };
  return (
    <div className="field">
      <label htmlFor={id} className="label">
        Add a permission
      </label>
      <div className="row">
        <input
          ref={input}
          id={id}
          name={ENTRY_NAME}
          className="monospace grow"
          value={text}
          onChange={(event) => setText(event.target.value)}
          onKeyDown={onKeyDown}
          placeholder="files:read"
          spellCheck={false}
          autoCapitalize="off"
          aria-invalid={error !== null}
          aria-describedby={`${id}-hint`}
        />
        <button type="button" onClick={add} disabled={words.length === 0 || error !== null}>
          <Plus size={17} aria-hidden /> Add
        </button>
      </div>
      <span id={`${id}-hint`} className={error === null ? "hint" : "field-error"} aria-live="polite">
        {error ??
          (words.length > 0
            ? `Can ${words.map(describePermission).join("; ")}.`
            : "resource:action, for example files:read. An action alone is for every resource of your own API, and for keys.")}
      </span>
    </div>
  );
}

function errorOf(words: string[], held: string[] | null): string | null {
  for (const word of words) {
    if (parsePermission(word) === null) {
      return `${word} is not a valid permission: use resource:action, each 1 to 64 letters, digits, _ . - or *.`;
    }
    if (missingFrom(held, [word]).length > 0) return `You do not hold ${word}, so you cannot grant it.`;
  }
  return null;
}
