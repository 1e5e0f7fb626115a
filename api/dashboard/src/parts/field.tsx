// A control with its name, a hint, and what is wrong with it, all of which belong together for those who hear them.

import { type ComponentProps, cloneElement, type ReactElement, useId } from "react";

interface Props {
  label: string;
  hint?: string;
  wrong?: string | undefined;
  /** The control. */
  children: ReactElement<ComponentProps<"input">>;
}

export function Field({ label, hint, wrong, children }: Props) {
  const id = useId();
  const isWrong = wrong !== undefined;
  return (
    <div className="field">
      <label htmlFor={id} className="label">
        {label}
      </label>
      {cloneElement(children, { id, "aria-describedby": `${id}-say`, "aria-invalid": isWrong })}
      <span id={`${id}-say`} className={isWrong ? "wrong" : "hint"} role={isWrong ? "alert" : undefined}>
        {wrong ?? hint}
      </span>
    </div>
  );
}

interface ChoiceProps {
  label: string;
  value: string;
  /** Values with their words. */
  of: readonly (readonly [value: string, words: string])[];
  onChoice: (value: string) => void;
}

/** One of several. */
export function Choice({ label, value, of, onChoice }: ChoiceProps) {
  return (
    <label className="field">
      {label}
      <select value={value} onChange={(event) => onChoice(event.target.value)}>
        {of.map(([value, words]) => (
          <option key={value} value={value}>
            {words}
          </option>
        ))}
      </select>
    </label>
  );
}
