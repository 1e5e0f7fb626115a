// The filters of the key list.

import { expect, test } from "vitest";
import { filterError, filterQuery, metadataFilter, pageSizeOf, sortOf } from "./key-filters.ts";

const values = (filters: Record<string, string>) => (name: string) => filters[name] ?? "";

test("filters become a query", () => {
  const filters = { search: " Zoë ", owner: "none", set: "s", permission: "files:read", for: "api", metadata: "a=1" };
  expect(filterQuery(values({ ...filters, status: "disabled" }), 0)).toEqual({
    enabled: false,
    search: "Zoë",
    user: "none",
    permission_set: "s",
    permission: "files:read",
    can_manage: false,
    metadata: '{"a":1}',
  });
  expect(filterQuery(values({}), 0)).toEqual({});
});

test("a filter by metadata has names and values", () => {
  expect(metadataFilter("plan=pro, seats=5,on = true")).toBe('{"plan":"pro","seats":5,"on":true}');
  expect(metadataFilter('seats="5"')).toBe('{"seats":"5"}');
  for (const wrong of [
    "plan",
    "=pro",
    "plan=",
    "a b=1",
    "a=1=2",
    "a=1,a=2",
    "a=1,",
    "a=1,b=2,c=3,d=4,e=5,f=6,g=7,h=8,i=9",
  ]) {
    expect(metadataFilter(wrong), wrong).toBeNull();
  }
});

test("invalid filters are reported", () => {
  expect(filterError(values({ permission: "files:" }))).toContain("is not a valid permission");
  expect(filterError(values({ metadata: "plan" }))).toContain("use name=value");
  expect(filterError(values({ permission: "files:read", metadata: "plan=pro" }))).toBeNull();
});

test("unknown orders and page sizes in the address are the defaults", () => {
  expect([sortOf("name"), sortOf("size"), sortOf("")]).toEqual(["name", "-created_at", "-created_at"]);
  expect([pageSizeOf("100"), pageSizeOf("7"), pageSizeOf("")]).toEqual([100, 50, 50]);
});
