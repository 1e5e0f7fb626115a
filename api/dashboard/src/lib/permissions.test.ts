// The examples of docs/CONTRACTS.md, "Permissions".

import { expect, test } from "vitest";
import {
  describePermission,
  formatPermission,
  groupByResource,
  holds,
  missingFrom,
  parsePermission,
  serviceAccess,
  withoutRedundant,
} from "./permissions.ts";

test("a permission is one or two tokens, and a wildcard is a whole token", () => {
  for (const good of ["read", "files:read", "*", "*:*", "*:read", "files:*", "a.b-c_D9:x", `${"r".repeat(64)}:a`]) {
    expect(parsePermission(good), good).not.toBeNull();
  }
  for (const bad of ["", ":", "files:", ":read", "file*", "a:b:c", "a b", "ü", "files:re*d", `${"r".repeat(65)}:a`]) {
    expect(parsePermission(bad), bad).toBeNull();
  }
});

test("permissions are printed in their shortest form", () => {
  const forms = ["*:read", "*:*", "files:*", "read"].map((text) =>
    formatPermission(parsePermission(text) ?? { resource: "", action: "" }),
  );
  expect(forms).toEqual(["read", "*", "files:*", "read"]);
  expect(withoutRedundant(["files:read", "files:*", "read", "*:read"])).toEqual(["files:*", "read"]);
  expect(withoutRedundant(["files:read", "*"])).toEqual(["*"]);
});

test("a permission includes others by the rules of the service", () => {
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
    [["read"], "api_keys:read", true],
    [["write"], "own_api_keys:write", true],
    [["read"], "org:read", false],
    [["admin"], "members:admin", false],
    [["read"], "audit:read", false],
    [["org:*"], "org:read", true],
    [["*"], "permission_sets:admin", true],
    [["*"], "org:*", true],
    [["other"], "files:a b", false],
  ] as const) {
    expect(holds(held, wanted), `${held.join()} ${wanted}`).toBe(expected);
  }
  expect(missingFrom(["files:*"], ["files:read", "read"])).toEqual(["read"]);
  expect(missingFrom(null, ["read"]), "unknown permissions report nothing as missing").toEqual([]);
});

test("access to the service is listed by resource", () => {
  expect(serviceAccess(["files:read", "admin"])).toEqual([]);
  expect(serviceAccess(["read", "org:admin"])).toEqual([
    { resource: "api_keys", can: ["see keys and their usage"] },
    { resource: "own_api_keys", can: ["see the user's own keys"] },
    { resource: "org", can: ["change the organization, set limits of keys"] },
  ]);
  expect(serviceAccess(["*"]).map(({ resource }) => resource)).toEqual([
    "api_keys",
    "own_api_keys",
    "org",
    "members",
    "permission_sets",
    "trust_rules",
    "portal_sessions",
    "audit",
  ]);
});

test("permissions are described in words", () => {
  expect(describePermission("files:read")).toBe("read files");
  expect(describePermission("read")).toBe("read every resource of your own API, and API keys");
  expect(describePermission("files:*")).toBe("do everything to files");
  expect(describePermission("api_keys:verify")).toBe("verify keys");
  expect(describePermission("*:*")).toBe(describePermission("*"));
  expect([...groupByResource(["a:x", "b:y", "a:z", "a:x"])]).toEqual([
    ["a", ["x", "z"]],
    ["b", ["y"]],
  ]);
});
