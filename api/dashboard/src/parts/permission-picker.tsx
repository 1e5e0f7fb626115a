// What a key may do: picked by resource and action from what the caller holds, by named sets, or typed and checked at once.

import { Plus, X } from "lucide-react";
import { type KeyboardEvent, useEffect, useId, useRef, useState } from "react";
import type { PermissionSet } from "../api/client.ts";
import { ANY, beyond, byResource, flat, holds, inWords, parse, RESERVED } from "../rules/permissions.ts";

interface Props {
  /** What the caller holds; null where that is not known. */
  held: string[] | null;
  /** The organization's sets. */
  sets: PermissionSet[];
  permissions: string[];
  chosenSets: string[];
  onChange: (permissions: string[], sets: string[]) => void;
}

export function PermissionPicker({ held, sets, permissions, chosenSets, onChange }: Props) {
  const [isOpen, setOpen] = useState(() => permissions.some((text) => (parse(text)?.resource ?? "") in RESERVED));
  const choices = choicesOf(held, sets, permissions);
  const toggle = (permission: string, isOn: boolean) =>
    onChange(isOn ? [...permissions, permission] : permissions.filter((other) => other !== permission), chosenSets);
  const resourceOf = ([resource, actions]: [string, string[]]) => (
    <Resource key={resource} {...{ resource, actions, held, permissions, toggle }} />
  );
  const toggleSet = (id: string, isOn: boolean) =>
    onChange(permissions, isOn ? [...chosenSets, id] : chosenSets.filter((other) => other !== id));
  return (
    <div className="stack">
      {sets.length > 0 && (
        <fieldset className="stack tight">
          <legend>Permission sets</legend>
          <p className="hint">Editing a set changes every key that has it.</p>
          <div>
            {sets.map((set) => {
              const missing = beyond(held, set.permissions);
              const isOn = chosenSets.includes(set.id);
              return (
                <label
                  key={set.id}
                  className="check"
                  title={missing.length > 0 ? "It holds more than you do" : undefined}
                >
                  <input
                    type="checkbox"
                    checked={isOn}
                    disabled={missing.length > 0 && !isOn}
                    onChange={(event) => toggleSet(set.id, event.target.checked)}
                  />
                  {set.name} <span className="faint small">{set.permissions.join(", ") || "nothing"}</span>
                </label>
              );
            })}
          </div>
        </fieldset>
      )}
      <FreeEntry
        held={held}
        permissions={permissions}
        add={(more) => onChange([...permissions, ...more], chosenSets)}
      />
      {permissions.length > 0 && (
        <ul className="chips" aria-label="Chosen permissions">
          {permissions.map((permission) => (
            <li key={permission} className={`chip ${beyond(held, [permission]).length > 0 ? "wrong" : ""}`}>
              {permission}
              <button type="button" aria-label={`Remove ${permission}`} onClick={() => toggle(permission, false)}>
                <X size={14} aria-hidden />
              </button>
            </li>
          ))}
        </ul>
      )}
      <fieldset className="stack tight">
        <legend>Pick from what you hold</legend>
        <section className="picker" aria-label="Your resources">
          {[...choices].filter(([resource]) => !(resource in RESERVED)).map(resourceOf)}
        </section>
        <details open={isOpen} onToggle={(event) => setOpen(event.currentTarget.open)}>
          <summary>Managing Claviger itself</summary>
          <section className="picker" aria-label="Managing Claviger itself">
            {[...choices].filter(([resource]) => resource in RESERVED).map(resourceOf)}
          </section>
        </details>
      </fieldset>
    </div>
  );
}

/** Resources and actions to offer: what the caller and the sets name, what is chosen, and what the service itself knows. */
function choicesOf(held: string[] | null, sets: PermissionSet[], permissions: string[]): Map<string, string[]> {
  const own = Object.entries(RESERVED).flatMap(([resource, actions]) =>
    Object.keys(actions).map((action) => `${resource}:${action}`),
  );
  const known = [...permissions, ...(held ?? []), ...sets.flatMap((set) => set.permissions), ...own];
  return byResource(known.filter((permission) => beyond(held, [permission]).length === 0));
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
  const all = flat({ resource, action: ANY });
  const offered = actions.includes(ANY) || beyond(held, [all]).length > 0 ? actions : [...actions, ANY];
  return (
    <div className="resource" role="group" aria-labelledby={id}>
      <span id={id}>{resource === ANY ? "Every resource" : <code>{resource}</code>}</span>
      <div className="actions">
        {offered.map((action) => {
          const permission = flat({ resource, action });
          const isOn = permissions.includes(permission);
          const isIncluded = !isOn && holds(permissions, permission);
          return (
            <label key={action} className="check" title={`Can ${inWords(permission)}`}>
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

/** What the field of free entry is called in its form. */
const ENTRY = "permission-entry";

/** Whether nothing stands in the field of free entry that was not added. Else it is shown, and said. */
export function isFinished(form: HTMLFormElement): boolean {
  const entry = form.elements.namedItem(ENTRY);
  return !(entry instanceof HTMLInputElement) || entry.reportValidity();
}

interface EntryProps {
  held: string[] | null;
  permissions: string[];
  add: (permissions: string[]) => void;
}

function FreeEntry({ held, permissions, add }: EntryProps) {
  const [text, setText] = useState("");
  const field = useRef<HTMLInputElement>(null);
  const id = useId();
  const words = text.split(/[\s,]+/).filter((word) => word !== "");
  const wrong = mistake(words, held);
  useEffect(() => {
    const unfinished = words.length === 0 ? "" : (wrong ?? "Press Add to give this permission, or empty the field.");
    field.current?.setCustomValidity(unfinished);
  });
  const enter = () => {
    if (words.length === 0 || wrong !== null) return;
    add(
      [...new Set(words.map((word) => flat(parse(word) ?? { resource: word, action: ANY })))].filter(
        (word) => !permissions.includes(word),
      ),
    );
    setText("");
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== "Enter" && event.key !== ",") return;
    event.preventDefault();
    enter();
  };
  return (
    <div className="field">
      <label htmlFor={id} className="label">
        Add a permission
      </label>
      <div className="row">
        <input
          ref={field}
          id={id}
          name={ENTRY}
          className="mono grow"
          value={text}
          onChange={(event) => setText(event.target.value)}
          onKeyDown={onKeyDown}
          placeholder="files:read"
          spellCheck={false}
          autoCapitalize="off"
          aria-invalid={wrong !== null}
          aria-describedby={`${id}-say`}
        />
        <button type="button" onClick={enter} disabled={words.length === 0 || wrong !== null}>
          <Plus size={17} aria-hidden /> Add
        </button>
      </div>
      <span id={`${id}-say`} className={wrong === null ? "hint" : "wrong"} aria-live="polite">
        {wrong ??
          (words.length > 0
            ? `Can ${words.map(inWords).join("; ")}.`
            : "resource:action, for example files:read. An action alone is for every resource.")}
      </span>
    </div>
  );
}

function mistake(words: string[], held: string[] | null): string | null {
  for (const word of words) {
    if (parse(word) === null) {
      return `${word} is no permission: it is resource:action, each 1 to 64 letters, digits, _ . - or the whole *.`;
    }
    if (beyond(held, [word]).length > 0) return `You do not hold ${word}, so you cannot give it.`;
  }
  return null;
}
