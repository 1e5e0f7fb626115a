// Starting points for new keys.

import { expect, test } from "vitest";
import { parsePermission } from "../permissions.ts";
import { DAY, fromDateTimeInput } from "../time.ts";
import { DEFAULT_LIFETIME, expiryAfter, KEY_TEMPLATES } from "./key-templates.ts";

const NOW = Date.parse("2026-11-21T12:00:00Z");

test("a new key expires after its lifetime, and not after the key that creates it", () => {
  const end = (lifetime: number, creator: string | null) => fromDateTimeInput(expiryAfter(lifetime, NOW, creator));
  expect(end(DEFAULT_LIFETIME, null)).toBe("2027-02-19T12:00:00.000Z");
  expect(end(DEFAULT_LIFETIME, "2028-01-01T00:00:00Z")).toBe("2027-02-19T12:00:00.000Z");
  expect(end(DEFAULT_LIFETIME, "2026-12-01T00:00:00Z"), "that of the creator").toBeNull();
  expect(end(DAY, "2026-12-01T00:00:00Z")).toBe("2026-11-22T12:00:00.000Z");
});

test("templates have ids of their own and valid permissions", () => {
  expect(new Set(KEY_TEMPLATES.map(({ id }) => id)).size).toBe(KEY_TEMPLATES.length);
  const permissions = KEY_TEMPLATES.flatMap(({ form }) => form.permissions);
  expect(permissions.filter((permission) => parsePermission(permission) === null)).toEqual([]);
});
