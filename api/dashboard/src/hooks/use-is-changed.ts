// Whether a form has other values than at first.

import { useState } from "react";

/** Whether `values` differ from those of the first call. */
export function useIsChanged(values: unknown): boolean {
  const text = JSON.stringify(values);
  const [initial] = useState(text);
  return text !== initial;
}
