// The idempotency key of a form.

import { useState } from "react";
import { idempotencyKeyHeader } from "../api/client.ts";

/** The header with the idempotency key: the same for the same body, so that a repeated request is executed once. */
export function useIdempotencyKey(body: unknown): ReturnType<typeof idempotencyKeyHeader> {
  const text = JSON.stringify(body);
  const [current, setCurrent] = useState(() => ({ text, header: idempotencyKeyHeader() }));
  if (current.text === text) return current.header;
  const next = { text, header: idempotencyKeyHeader() };
  setCurrent(next);
  return next.header;
}
