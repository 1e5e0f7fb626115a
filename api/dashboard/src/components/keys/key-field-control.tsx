// The form control of a setting, from its row in `lib/key-fields.ts`.

import type { Key } from "../../api/client.ts";
import { KEY_FIELDS, type KeyField, type KeyFieldName, type KeyFormValues } from "../../lib/key-fields.ts";
import { errorOf, type FieldErrors } from "../../lib/key-form-model.ts";
import type { Rate } from "../../lib/key-values.ts";
import { DAY, HOUR, toDateTimeInput, UNITS, type Unit } from "../../lib/time.ts";
import { Field } from "../ui/field.tsx";

interface Props {
  name: KeyFieldName;
  form: KeyFormValues;
  onChange: (part: Partial<KeyFormValues>) => void;
  errors: FieldErrors;
  /** The key that is edited; null: a new key. */
  apiKey: Key | null;
}

export function KeyFieldControl({ name, form, onChange, errors, apiKey }: Props) {
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
      <TimePresets onChoose={setValue} />
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

/** Buttons for frequent times from now. */
function TimePresets({ onChoose }: { onChoose: (value: string) => void }) {
  return (
    <div className="row">
      {PRESETS.map(([label, length]) => (
        <button
          key={label}
          type="button"
          className="small"
          onClick={() => onChoose(length === null ? "" : toDateTimeInput(new Date(Date.now() + length).toISOString()))}
        >
          {label}
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
