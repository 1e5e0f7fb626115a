// A text field whose value is used when typing pauses, so that not each letter is a request.

import { useEffect, useRef, useState } from "react";

/** How long typing pauses before the value is used, in ms. */
const PAUSE = 250;

interface Props {
  label: string;
  type?: "search" | "text";
  value: string;
  onChange: (text: string) => void;
  /** Gets each text that is entered. Returns whether it must not be used: then it is removed from the field. */
  onInput?: (text: string) => boolean;
  placeholder?: string;
  maxLength?: number;
  list?: string;
  isInvalid?: boolean;
  className?: string;
}

export function DebouncedField(props: Props) {
  const { label, type = "text", value, onChange, onInput, isInvalid = false, className = "", ...rest } = props;
  const [text, setText] = useState(value);
  // The value that was shown last: if it changes elsewhere, as by the back button, the field follows.
  const [shown, setShown] = useState(value);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  // By the time typing pauses, other filters may have changed.
  const latest = useRef(onChange);
  useEffect(() => {
    latest.current = onChange;
  });
  useEffect(() => () => clearTimeout(timer.current), []);
  if (value !== shown) {
    setShown(value);
    setText(value);
  }
  const change = (next: string) => {
    clearTimeout(timer.current);
    if (onInput?.(next) === true) {
      setText("");
      if (value !== "") onChange("");
      return;
    }
    setText(next);
    timer.current = setTimeout(() => latest.current(next), PAUSE);
  };
  return (
    <label className={`field ${className}`}>
      {label}
      <input
        {...rest}
        type={type}
        value={text}
        aria-invalid={isInvalid}
        spellCheck={false}
        onChange={(event) => change(event.target.value)}
      />
    </label>
  );
}
