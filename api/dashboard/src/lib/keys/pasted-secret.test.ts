// Secrets as people paste them.

import { expect, test } from "vitest";
import { isProbablySecret, pastedSecret } from "./pasted-secret.ts";

test("a pasted secret is found in the text around it", () => {
  for (const text of [
    "cvg_abc",
    "  cvg_abc\n",
    "\u00a0cvg_abc\u200b",
    '"cvg_abc"',
    "'cvg_abc'",
    "`cvg_abc`",
    "“cvg_abc”",
    "Bearer cvg_abc",
    "bearer   cvg_abc",
    '"Bearer cvg_abc"',
    'Bearer "cvg_abc"',
    "Authorization: Bearer cvg_abc",
    "authorization:Bearer cvg_abc",
    "-H 'Authorization: Bearer cvg_abc'",
    "x-api-key: cvg_abc",
    "cvg_\nabc",
    "cvg_ abc",
  ]) {
    expect(pastedSecret(text), JSON.stringify(text)).toBe("cvg_abc");
  }
});

test("nothing is left of a text without a secret, and nothing else is removed", () => {
  for (const text of ["", " \n", '""', "Authorization: "]) expect(pastedSecret(text), text).toBe("");
  for (const text of ["Bearer", "bearer_abc", "eyJhbGci.eyJz-_.c2ln", "a:b"]) expect(pastedSecret(text)).toBe(text);
});

test("whole secrets are recognized, and ids and starts of secrets are not", () => {
  expect(isProbablySecret(`cvg_${"a".repeat(49)}`)).toBe(true);
  expect(isProbablySecret(`Bearer ${"a".repeat(40)}`)).toBe(true);
  expect(isProbablySecret("0199f0c2-4d1e-7000-8000-000000000001")).toBe(false);
  expect(isProbablySecret("cvg_lyiBEY")).toBe(false);
});
