// The settings of a key, for making one and for changing one.

import type { PermissionSet } from "../api/client.ts";
import type { Draft, Pace, Wrong } from "../rules/draft.ts";
import { DAY, HOUR, toField, UNITS, type Unit } from "../rules/time.ts";
import { fieldName } from "../rules/words.ts";
import { useEffect, useState } from "react";
import { Field } from "./field.tsx";
import { PermissionPicker } from "./permission-picker.tsx";

interface Props {
  draft: Draft;
  change: (part: Partial<Draft>) => void;
  wrong: Wrong;
  held: string[] | null;
  sets: PermissionSet[];
  /** Whether the caller may set limits. */
  mayLimit: boolean;
  isNew: boolean;
  /** Whether what stands there can be sent back as it came. */
  mayChangeMetadata?: boolean;
}

/** The fields that are folded away. */
const MORE = ["allowed_addresses", "not_before", "external_id", "prefix", "metadata"];

export function KeyForm({ draft, change, wrong, held, sets, mayLimit, isNew, mayChangeMetadata = true }: Props) {
  const [isOpen, setOpen] = useState(!isNew);
  return (
    <>
      <section className="card">
        <Field label="Name" wrong={wrong.name} hint="What it is for. Others see it, too.">
          <input
            value={draft.name}
            maxLength={100}
            required
            onChange={(event) => change({ name: event.target.value })}
          />
        </Field>
      </section>
      <section className="card">
        <h2>What it may do</h2>
        <PermissionPicker
          held={held}
          sets={sets}
          permissions={draft.permissions}
          chosenSets={draft.sets}
          onChange={(permissions, sets) => change({ permissions, sets })}
        />
        {wrong.permissions !== undefined && <p className="wrong">{wrong.permissions}</p>}
      </section>
      <section className="card stack">
        <h2>Expiry</h2>
        <Expiry text={draft.expires} onText={(expires) => change({ expires })} wrong={wrong.expires_at} />
      </section>
      <section className="card stack">
        <h2>Limits</h2>
        {!mayLimit && <p className="hint">Limits need the permission org:admin.</p>}
        <fieldset disabled={!mayLimit} className="stack">
          <legend className="hidden">Limits</legend>
          <PaceField
            label="At most"
            name="rate limit"
            joint="per"
            pace={draft.rate}
            onPace={(rate) => change({ rate })}
            wrong={wrong.rate_limit_max ?? wrong.rate_limit_window}
            placeholder="any number"
          />
          <Field
            label={isNew ? "Uses in all" : "Uses left"}
            wrong={wrong.remaining}
            hint="Each verify that finds the key good takes one. Empty: any number."
          >
            <input
              inputMode="numeric"
              value={draft.remaining}
              placeholder="any number"
              onChange={(event) => change({ remaining: event.target.value.trim() })}
            />
          </Field>
          <PaceField
            label="Refill to"
            name="refill"
            joint="every"
            pace={draft.refill}
            onPace={(refill) => change({ refill })}
            wrong={wrong.refill_amount ?? wrong.refill_interval}
            placeholder="no refill"
          />
        </fieldset>
      </section>
      <details
        className="card"
        open={isOpen || MORE.some((name) => name in wrong)}
        onToggle={(event) => setOpen(event.currentTarget.open)}
      >
        <summary>
          <strong>More</strong> <span className="faint">addresses, beginning, metadata{isNew && ", prefix"}</span>
        </summary>
        <div className="stack after-summary">
          <Field
            label="Allowed addresses"
            wrong={wrong.allowed_addresses}
            hint="One network or address a line, like 203.0.113.0/24. Empty: from anywhere."
          >
            <textarea
              value={draft.addresses}
              spellCheck={false}
              onChange={(event) => change({ addresses: event.target.value })}
            />
          </Field>
          <div className="pair">
            <Field label="Valid from" wrong={wrong.not_before} hint="Empty: at once.">
              <input
                type="datetime-local"
                value={draft.notBefore}
                onChange={(event) => change({ notBefore: event.target.value })}
              />
            </Field>
            <Field
              label="External id"
              wrong={wrong.external_id}
              hint="What your own system calls it, or whom it is for."
            >
              <input value={draft.externalId} onChange={(event) => change({ externalId: event.target.value })} />
            </Field>
          </div>
          {isNew && (
            <Field
              label="Prefix"
              wrong={wrong.prefix}
              hint="What the key begins with, so that people and scanners recognize it. Empty: cvg_."
            >
              <input
                value={draft.prefix}
                placeholder="cvg_"
                spellCheck={false}
                onChange={(event) => change({ prefix: event.target.value.trim() })}
              />
            </Field>
          )}
          <Field
            label="Metadata"
            wrong={wrong.metadata}
            hint={
              mayChangeMetadata
                ? "A JSON object that verify hands to your services."
                : "It has numbers that a browser cannot hold exactly. Change it by the API."
            }
          >
            <textarea
              disabled={!mayChangeMetadata}
              value={draft.metadata}
              placeholder={'{"plan": "pro"}'}
              spellCheck={false}
              onChange={(event) => change({ metadata: event.target.value })}
            />
          </Field>
        </div>
      </details>
    </>
  );
}

/** All that is wrong, by the names of the fields, beside the button that was pressed. */
export function Mistakes({ of }: { of: Wrong }) {
  const all = Object.entries(of);
  useEffect(() => {
    // To the first of them, for those who do not see where it is.
    if (all.length > 0) document.querySelector<HTMLElement>("form [aria-invalid=true]")?.focus();
  }, [all.length]);
  if (all.length === 0) return null;
  return (
    <div role="alert">
      <ul className="wrong">
        {all.map(([name, sentence]) => (
          <li key={name}>
            {fieldName(name)}: {sentence}
          </li>
        ))}
      </ul>
    </div>
  );
}

const PRESETS: [string, number | null][] = [
  ["Never", null],
  ["1 hour", HOUR],
  ["7 days", 7 * DAY],
  ["30 days", 30 * DAY],
  ["90 days", 90 * DAY],
  ["1 year", 365 * DAY],
];

function Expiry({ text, onText, wrong }: { text: string; onText: (text: string) => void; wrong: string | undefined }) {
  return (
    <div className="stack tight">
      <div className="row">
        {PRESETS.map(([label, length]) => (
          <button
            key={label}
            type="button"
            className="small"
            onClick={() => onText(length === null ? "" : toField(new Date(Date.now() + length).toISOString()))}
          >
            {label}
          </button>
        ))}
      </div>
      <Field label="Expires" wrong={wrong} hint="In your own time zone. Empty: never.">
        <input type="datetime-local" value={text} onChange={(event) => onText(event.target.value)} />
      </Field>
    </div>
  );
}

interface PaceProps {
  label: string;
  /** What it is, for those who hear the fields one by one. */
  name: string;
  joint: "per" | "every";
  pace: Pace;
  onPace: (pace: Pace) => void;
  wrong: string | undefined;
  placeholder: string;
}

function PaceField({ label, name, joint, pace, onPace, wrong, placeholder }: PaceProps) {
  return (
    <fieldset className="field">
      <legend>{label}</legend>
      <div className="pace">
        <input
          inputMode="numeric"
          aria-label={`Uses of the ${name}`}
          value={pace.count}
          placeholder={placeholder}
          onChange={(event) => onPace({ ...pace, count: event.target.value.trim() })}
        />
        <span>{joint}</span>
        <input
          inputMode="numeric"
          aria-label={`Length of the ${name}`}
          value={pace.each}
          onChange={(event) => onPace({ ...pace, each: event.target.value.trim() })}
        />
        <select
          aria-label={`Unit of the ${name}`}
          value={pace.unit}
          onChange={(event) => onPace({ ...pace, unit: event.target.value as Unit })}
        >
          {UNITS.map(([unit]) => (
            <option key={unit} value={unit}>
              {unit}
              {pace.each !== "1" && "s"}
            </option>
          ))}
        </select>
      </div>
      {wrong !== undefined && (
        <span className="wrong" role="alert">
          {wrong}
        </span>
      )}
    </fieldset>
  );
}
