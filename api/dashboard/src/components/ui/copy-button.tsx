// A button that copies a text to the clipboard.

import { ClipboardCheck, Copy } from "lucide-react";
import { useState } from "react";

interface Props {
  text: string;
  /** What is copied, for the label "Copy …". */
  label: string;
  isPrimary?: boolean;
}

export function CopyButton({ text, label, isPrimary = false }: Props) {
  const [state, setState] = useState<"idle" | "copied" | "failed">("idle");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setState("copied");
    } catch {
      setState("failed");
    }
  };
  return (
    <button type="button" className={isPrimary ? "primary" : "small"} onClick={copy}>
      {state === "copied" ? <ClipboardCheck size={17} aria-hidden /> : <Copy size={17} aria-hidden />}
      <span aria-live="polite">
        {state === "copied" ? "Copied" : state === "failed" ? "Select and copy it manually" : `Copy ${label}`}
      </span>
    </button>
  );
}
