// The known answers of docs/CONTRACTS.md, "Permissions".

import { expect, test } from "vitest";
import { beyond, byResource, flat, holds, inWords, parse, shortest } from "./permissions.ts";

test("a permission is one or two tokens, or wildcards as a whole", () => {
  for (const good of ["read", "files:read", "*", "*:*", "*:read", "files:*", "a.b-c_D9:x", `${"r".repeat(64)}:a`]) {
    expect(parse(good), good).not.toBeNull();
  }
  for (const bad of ["", ":", "files:", ":read", "file*", "a:b:c", "a b", "ü", "files:re*d", `${"r".repeat(65)}:a`]) {
    expect(parse(bad), bad).toBeNull();
  }
});

test("the shortest form is printed", () => {
  const forms = ["*:read", "*:*", "files:*", "read"].map((text) => flat(parse(text) ?? { resource: "", action: "" }));
  expect(forms).toEqual(["read", "*", "files:*", "read"]);
  expect(shortest(["files:read", "files:*", "read", "*:read"])).toEqual(["files:*", "read"]);
  expect(shortest(["files:read", "*"])).toEqual(["*"]);
});

test("what is held is what the service says is held", () => {
  for (const [held, wanted, expected] of [
    [["files:read"], "files:read", true],
    [["files:*"], "files:read", true],
    [["read"], "files:read", true],
    [["*"], "files:read", true],
    [["files:read"], "read", false],
    [["files:write"], "files:read", false],
    [["Files:read"], "files:read", false],
    [["file"], "files:read", false],
    [["files:*"], "*", false],
  ] as const) {
    expect(holds(held, wanted), `${held.join()} ${wanted}`).toBe(expected);
  }
  expect(beyond(["files:*"], ["files:read", "read"])).toEqual(["read"]);
  expect(beyond(null, ["read"]), "where it is not known, nothing is said").toEqual([]);
});

test("words are for people", () => {
  expect(inWords("files:read")).toBe("read files");
  expect(inWords("read")).toBe("read every resource");
  expect(inWords("files:*")).toBe("do everything to files");
  expect(inWords("api_keys:verify")).toBe("check whether a key is good");
  expect([...byResource(["a:x", "b:y", "a:z", "a:x"])]).toEqual([
    ["a", ["x", "z"]],
    ["b", ["y"]],
  ]);
});
