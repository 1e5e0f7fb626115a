// The form control of a setting, from its row in `lib/keys/key-fields.ts`.

import { useState } from "react";
import type { Key, KeyPolicy } from "../../../api/client.ts";
import { useMe } from "../../../hooks/use-me.ts";
import { useNow } from "../../../hooks/use-now.ts";
import { KEY_FIELDS, type KeyField, type KeyFieldName, type KeyFormValues } from "../../../lib/keys/key-fields.ts";
import { errorOf, type FieldErrors } from "../../../lib/keys/key-form-model.ts";
import type { Rate } from "../../../lib/keys/key-values.ts";
import { maxLifetime, mustExpire } from "../../../lib/key-policy.ts";
import { DAY, fromDateTimeInput, HOUR, MINUTE, toDateTimeInput, UNITS, type Unit } from "../../../lib/time.ts";
import { Field } from "../../ui/field.tsx";

interface Props {
  name: KeyFieldName;
  form: KeyFormValues;
  onChange: (part: Partial<KeyFormValues>) => void;
  errors: FieldErrors;
  /** The key that is edited; null: a new key. */
  apiKey: Key | null;
  /** The policies that apply to the key. */
  policies: KeyPolicy[];
}

export function KeyFieldControl({ name, form, onChange, errors, apiKey, policies }: Props) {
  const field: KeyField<never> = KEY_FIELDS[name] as unknown as KeyField<never>;
  const { control } = field;
  const value = form[name];
  const error = errorOf(name, errors);
  const label = apiKey === null ? (field.newLabel ?? field.label) : field.label;
  const setValue = (value: string | Rate) => onChange({ [name]: value });
  if (control.type === "custom") return null;
  if (control.type === "rate") {
    return <RateField label={label} control={control} rate={value as Rate} onChange={setValue} error={error} />;
  }
  const readOnlyReason = apiKey === null ? undefined : field.readOnlyReason?.(apiKey);
  const common = {
    value: value as string,
    disabled: readOnlyReason !== undefined,
    onChange: (event: { target: { value: string } }) => setValue(event.target.value),
  };
  const text = (
    <Field label={label} error={error} hint={readOnlyReason ?? field.hint}>
      {inputOf(control, common, field.isRequired)}
    </Field>
  );
  if (control.type !== "datetime" || !control.hasPresets) return text;
  return (
    <div className="stack compact">
      <TimePresets
        value={value as string}
        policies={policies}
        createdAt={apiKey?.created_at ?? null}
        onChoose={setValue}
      />
      {text}
    </div>
  );
}

interface InputProps {
  value: string;
  disabled: boolean;
  onChange: (event: { target: { value: string } }) => void;
}

type TextControl = Exclude<KeyField<never>["control"], { type: "custom" | "rate" }>;

function inputOf(control: TextControl, props: InputProps, isRequired = false) {
  switch (control.type) {
    case "text":
      return (
        <input
          {...props}
          required={isRequired}
          maxLength={control.maxLength}
          placeholder={control.placeholder}
          spellCheck={!control.isCode}
        />
      );
    case "multiline":
      return (
        <textarea
          {...props}
          className={control.isCode ? "monospace" : undefined}
          maxLength={control.maxLength}
          placeholder={control.placeholder}
          spellCheck={!control.isCode}
        />
      );
    case "number":
      return (
        <input
          {...props}
          inputMode="numeric"
          placeholder={control.placeholder}
          onChange={(event) => props.onChange({ target: { value: event.target.value.trim() } })}
        />
      );
    case "datetime":
      return <input {...props} type="datetime-local" />;
  }
}

const PRESETS: [string, number | null][] = [
  ["Never", null],
  ["1 hour", HOUR],
  ["7 days", 7 * DAY],
  ["30 days", 30 * DAY],
  ["90 days", 90 * DAY],
  ["1 year", 365 * DAY],
];

/** How far a time may be from a preset to be shown as chosen by it, in ms: the form's times are whole minutes. */
const TOLERANCE = 2 * MINUTE;

/** The preset that a value was chosen by, if it was set a moment ago. */
function presetOf(value: string, now: number): string | undefined {
  const at = fromDateTimeInput(value);
  const isOf = (length: number | null) =>
    at === null || length === null ? at === length : Math.abs(Date.parse(at) - now - length) < TOLERANCE;
  return PRESETS.find(([, length]) => isOf(length))?.[0];
}

interface TimePresetsProps {
  value: string;
  policies: KeyPolicy[];
  /** When the key was created; null: a new key. */
  createdAt: string | null;
  onChoose: (value: string) => void;
}

/** Buttons for frequent times from now that the policies allow. */
function TimePresets({ value, policies, createdAt, onChoose }: TimePresetsProps) {
  const me = useMe();
  const now = useNow();
  // Found when the value changes, because later it is another time from now.
  const [chosen, setChosen] = useState(() => ({ value, preset: presetOf(value, now) }));
  if (chosen.value !== value) setChosen({ value, preset: presetOf(value, now) });
  // Without an expiry, a new key expires with the key that creates it.
  const never = createdAt === null && me.api_key?.expires_at != null ? "When your own key expires" : "Never";
  const longest = maxLifetime(policies);
  const age = createdAt === null ? 0 : now - Date.parse(createdAt);
  const isAllowed = (length: number | null) =>
    length === null ? !mustExpire(policies) : longest === null || length + age <= longest;
  return (
    <div className="row presets" role="group" aria-label="Expiry from now">
      {PRESETS.filter(([, length]) => isAllowed(length)).map(([label, length]) => (
        <button
          key={label}
          type="button"
          className="small"
          aria-pressed={chosen.preset === label}
          onClick={() => onChoose(length === null ? "" : toDateTimeInput(new Date(Date.now() + length).toISOString()))}
        >
          {length === null ? never : label}
        </button>
      ))}
    </div>
  );
}

interface RateFieldProps {
  label: string;
  control: { preposition: string; placeholder: string };
  rate: Rate;
  onChange: (rate: Rate) => void;
  error: string | undefined;
}

function RateField({ label, control, rate, onChange, error }: RateFieldProps) {
  const name = label.toLowerCase();
  return (
    <fieldset className="field">
      <legend>{label}</legend>
      <div className="rate-input">
        <input
          inputMode="numeric"
          aria-label={`Uses of the ${name}`}
          aria-invalid={error !== undefined}
          value={rate.count}
          placeholder={control.placeholder}
          onChange={(event) => onChange({ ...rate, count: event.target.value.trim() })}
        />
        <span>{control.preposition}</span>
        <input
          inputMode="numeric"
          aria-label={`Interval of the ${name}`}
          value={rate.interval}
          onChange={(event) => onChange({ ...rate, interval: event.target.value.trim() })}
        />
        <select
          aria-label={`Unit of the ${name}`}
          value={rate.unit}
          onChange={(event) => onChange({ ...rate, unit: event.target.value as Unit })}
        >
          {UNITS.map(([unit]) => (
            <option key={unit} value={unit}>
              {unit}
              {rate.interval !== "1" && "s"}
            </option>
          ))}
        </select>
      </div>
      {error !== undefined && (
        <span className="field-error" role="alert">
          {error}
        </span>
      )}
    </fieldset>
  );
}
