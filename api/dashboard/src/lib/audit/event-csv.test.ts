// The columns of an exported audit log.

import { expect, test } from "vitest";
import type { AuditEvent } from "../../api/client.ts";
import { toCsv } from "../csv.ts";
import { eventColumns, keyIdsOf } from "./event-csv.ts";

const EVENT = {
  seq: 1,
  at: "t",
  action: "api_key.update",
  target_id: "k1",
  changed_fields: ["name", "permissions"],
  actor: { type: "key", key_id: "k2", user_id: null },
} as unknown as AuditEvent;

test("an event has the names of its target and its actor, if they are known", () => {
  const names = new Map([["k1", "Laptop, old"]]);
  const [header, line] = toCsv(
    eventColumns((id) => names.get(id)),
    [EVENT],
  ).split("\r\n");
  expect(header?.split(",").slice(-4)).toEqual(["changed_fields", "target_name", "actor_key_name", "actor_user_name"]);
  expect(line).toBe('1,t,api_key.update,,,,,k1,key,k2,,,,,,,name permissions,"Laptop, old",,');
});

test("the keys of events are their targets and their actors", () => {
  const other = { ...EVENT, action: "member.add", target_id: "u1" } as unknown as AuditEvent;
  expect([...keyIdsOf([EVENT, other])]).toEqual(["k1", "k2"]);
});
