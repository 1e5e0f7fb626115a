// Audit events as CSV.

import { expect, test } from "vitest";
import type { AuditEvent } from "../api/client.ts";
import { toCsv } from "./csv.ts";

test("cells are quoted, and contain no formulas", () => {
  const event = {
    seq: 1,
    at: "t",
    request_id: "=1+1",
    reason: 'a "b", c',
    actor: { type: "key" },
  } as unknown as AuditEvent;
  const line = toCsv([event]).split("\r\n")[1];
  expect(line).toBe(`1,t,,,"a ""b"", c",,,,key,,,,,,'=1+1,`);
});
