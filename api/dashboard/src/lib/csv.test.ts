// Tables as CSV.

import { expect, test } from "vitest";
import { toCsv } from "./csv.ts";

test("cells are quoted, and contain no formulas", () => {
  const columns = ["a", "b", "c", "d"].map((name) => [name, (row: Record<string, unknown>) => row[name]] as const);
  const rows = [{ a: 1, b: 'a "b", c', c: "=1+1", d: null }, { a: "@x" }];
  expect(toCsv(columns, rows)).toBe('a,b,c,d\r\n1,"a ""b"", c",\'=1+1,\r\n\'@x,,,\r\n');
});
