// A short status word.

import type { ReactNode } from "react";

export type Tone = "info" | "success" | "warning" | "danger";

export function Badge({ tone, children }: { tone?: Tone | undefined; children: ReactNode }) {
  return <span className={`badge ${tone ?? ""}`}>{children}</span>;
}
