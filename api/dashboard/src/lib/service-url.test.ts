// The path of the service, by the address of the script.

import { expect, test } from "vitest";
import { basePathOf } from "./service-url.ts";

test("the base path is the folder above that of the script", () => {
  expect(basePathOf("https://keys.example.com/assets/index.js")).toBe("");
  expect(basePathOf("https://example.com/keys/assets/index.js")).toBe("/keys");
  expect(basePathOf("http://localhost:8080/a/b/assets/index.js?x=1")).toBe("/a/b");
});
