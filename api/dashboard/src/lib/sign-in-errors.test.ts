// The sentences for failed sign-ins.

import { expect, test } from "vitest";
import { signInError } from "./sign-in-errors.ts";

test("each code has a sentence, also one that is not known", () => {
  expect(signInError("expired")).toContain("Sign in again");
  for (const code of ["something_new", "constructor", ""]) expect(signInError(code)).toContain("Try again");
});
