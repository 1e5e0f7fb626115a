// A secret on its way to the page that tries it.

import { expect, test } from "vitest";
import { hasSecretToTry, storeSecretToTry, takeSecretToTry } from "./secret-to-try.ts";

test("a secret is taken once", () => {
  expect(takeSecretToTry()).toBeNull();
  storeSecretToTry("s");
  expect(hasSecretToTry()).toBe(true);
  expect([takeSecretToTry(), takeSecretToTry()]).toEqual(["s", null]);
  expect(hasSecretToTry()).toBe(false);
});
