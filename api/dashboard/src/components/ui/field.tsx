// A form control with its label, hint and error, which are connected for screen readers.

import { type ComponentProps, cloneElement, type ReactElement, useId } from "react";

interface Props {
  label: string;
  hint?: string | undefined;
  error?: string | undefined;
  /** The control. */
  children: ReactElement<ComponentProps<"input">>;
}

export function Field({ label, hint, error, children }: Props) {
  const id = useId();
  const isInvalid = error !== undefined;
  return (
    <div className="field">
      <label htmlFor={id} className="label">
        {label}
      </label>
      {cloneElement(children, { id, "aria-describedby": `${id}-hint`, "aria-invalid": isInvalid })}
      <span id={`${id}-hint`} className={isInvalid ? "field-error" : "hint"} role={isInvalid ? "alert" : undefined}>
        {error ?? hint}
      </span>
    </div>
  );
}
