// The organization: members, permission sets, settings, the audit log, and the overview.

import { readFileSync } from "node:fs";
import { expect, isAccessible, picture, settled, signIn, test, visit } from "./browser.ts";
import { Caller, sampleOrganization, ORIGIN, signUp } from "./service.ts";

test("members are added, changed and removed", async ({ page }) => {
  const admin = await signUp();
  await signIn(page, admin);
  await visit(page, admin, "members", "Members");
  await page.getByRole("button", { name: "Add member" }).click();
  await page.getByLabel("Name").fill("Grace Hopper");
  await page.getByLabel("E-mail address").fill(`grace-${admin.org}@example.com`);
  await page.getByLabel("Add a permission").fill("files:read");
  await page.getByRole("button", { name: "Add", exact: true }).click();
  await isAccessible(page);
  await page.getByRole("button", { name: "Add member" }).last().click();
  await expect(page.getByText("Grace Hopper is now a member.")).toBeVisible();
  const row = page.getByRole("row").filter({ hasText: "Grace Hopper" });
  await expect(row).toContainText("files:read");
  await page.getByRole("button", { name: "Edit Grace Hopper" }).click();
  await page.getByRole("button", { name: "Remove files:read" }).click();
  await page.getByRole("button", { name: "Save" }).click();
  await expect(row).toContainText("none");
  await page.getByRole("button", { name: "Sessions of Grace Hopper" }).click();
  await expect(page.getByRole("dialog")).toContainText("They are not signed in.");
  await page.getByRole("button", { name: "End all sessions" }).click();
  await expect(page.getByText("Grace Hopper: 0 sessions ended.")).toBeVisible();
  await page.getByRole("button", { name: "Remove Grace Hopper" }).click();
  await expect(page.getByRole("dialog")).toContainText("They have no keys.");
  await page.getByRole("button", { name: "Remove member" }).click();
  await expect(row).toHaveCount(0);
  // The last member with all permissions cannot be removed.
  await page.getByRole("button", { name: "Remove Ada Lovelace" }).click();
  await expect(page.getByRole("dialog")).toContainText("This is you.");
  await page.getByRole("button", { name: "Remove member" }).click();
  await expect(page.getByRole("dialog").getByRole("alert")).toContainText("member with all permissions");
});

test("a permission set is created, attached, changed and deleted", async ({ page }) => {
  const admin = await signUp();
  await signIn(page, admin);
  await visit(page, admin, "sets", "Permission sets");
  await expect(page.getByRole("heading", { name: "No permission sets yet" })).toBeVisible();
  await page.getByRole("button", { name: "New set" }).first().click();
  await page.getByLabel("Name").fill("readers");
  await page.getByLabel("Add a permission").fill("files:read,");
  await page.getByLabel("Add a permission").press("Enter");
  await page.getByRole("button", { name: "Save set" }).click();
  await expect(page.getByRole("row").filter({ hasText: "readers" })).toContainText("files:read");
  const [set] = await admin.call<{ id: string }[]>("GET", `/orgs/${admin.org}/permission_sets`);
  const { key } = await admin.createKey({ name: "has it", permission_sets: [set?.id] });
  expect(await admin.verify(key, ["files:list"])).toBe("INSUFFICIENT_PERMISSIONS");
  await page.getByRole("button", { name: "Edit readers" }).click();
  await expect(page.getByRole("dialog")).toContainText("1 key and 0 members have this set.");
  await page.getByLabel("Add a permission").fill("files:list");
  await page.getByRole("button", { name: "Add", exact: true }).click();
  await page.getByRole("button", { name: "Save set" }).click();
  await expect(page.getByText("readers is changed for all keys and members that have it.")).toBeVisible();
  expect(await admin.verify(key, ["files:list"])).toBe("VALID");
  await page.getByRole("button", { name: "Delete readers" }).click();
  await expect(page.getByRole("dialog")).toContainText("1 key and 0 members have this set.");
  await page.getByRole("button", { name: "Delete set" }).click();
  await expect(page.getByRole("dialog").getByRole("alert")).toContainText("permission set");
  await page.getByLabel("Detach it from all keys").check();
  await page.getByRole("button", { name: "Delete set" }).click();
  await expect(page.getByText("readers is deleted.")).toBeVisible();
});

test("the default purpose of new keys is changed", async ({ page }) => {
  const admin = await signUp();
  await signIn(page, admin);
  await visit(page, admin, "organization", "Organization");
  await expect(page.getByLabel("It can manage Claviger, as far as its permissions allow")).toBeChecked();
  await page.getByLabel("It is for your own API and cannot manage Claviger").click();
  await expect(page.getByText("Saved. It applies to keys that are created from now on.")).toBeVisible();
  await expect(page.getByLabel("It is for your own API and cannot manage Claviger")).toBeChecked();
  await isAccessible(page);
  const { id } = await admin.createKey({ name: "created by a program" });
  expect(await admin.call("GET", `/orgs/${admin.org}/api_keys/${id}`)).toMatchObject({ can_manage: false });
  const { key } = await admin.createKey({ name: "reader", permissions: ["org:read"], can_manage: true });
  await page.getByRole("button", { name: "Sign out", exact: true }).click();
  await expect(page.getByRole("heading", { name: "Sign in" })).toBeVisible();
  await signIn(page, new Caller(key, admin.org));
  await visit(page, admin, "organization", "Organization");
  await expect(page.getByLabel("It can manage Claviger, as far as its permissions allow")).toBeDisabled();
});

test("the audit log is filtered, and exported as CSV and JSON", async ({ page }) => {
  const admin = await sampleOrganization();
  const { key } = await admin.createKey({ name: "may not", permissions: ["api_keys:read"] });
  const refused = await fetch(`${ORIGIN}/orgs/${admin.org}/members`, {
    method: "POST",
    headers: { Authorization: `Bearer ${key}` },
  });
  expect(refused.status).toBe(403);
  await signIn(page, admin);
  await visit(page, admin, "audit", "Audit log");
  await expect(page.getByRole("row").filter({ hasText: "Rotated key" })).toContainText("Web shop");
  await page.getByLabel("Action").selectOption("Added member");
  await page.getByLabel("Outcome").selectOption("Done");
  await expect(page.getByRole("row")).toHaveCount(3);
  await expect(page.getByRole("row").nth(1)).toContainText("Alan Turing");
  await page.getByLabel("Actor").selectOption("Grace Hopper");
  await expect(page.getByRole("heading", { name: "No matching events" })).toBeVisible();
  await page.getByLabel("Actor").selectOption("Ada Lovelace");
  await expect(page.getByRole("row")).toHaveCount(3);
  await page.getByLabel("Actor").selectOption("Anyone");
  await page.getByLabel("Action").selectOption("All actions");
  await page.getByLabel("Outcome").selectOption("Refused");
  await expect(async () => {
    await page.reload();
    await expect(page.getByRole("row").nth(1)).toContainText("lacks the permission members:admin", { timeout: 1_000 });
  }).toPass();
  await page.getByLabel("Outcome").selectOption("All");
  await settled(page);
  const file = async (name: string) => {
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name }).click()]);
    return readFileSync(await download.path(), "utf8");
  };
  const json = JSON.parse(await file("Export JSON")) as { action: string; hash: string; target_id: string }[];
  const log = await admin.call<unknown[]>("GET", `/orgs/${admin.org}/audit_events?limit=1000`);
  expect(json).toEqual(log);
  const lines = (await file("Export CSV")).trimEnd().split("\r\n");
  expect(lines[0]).toBe(
    "seq,at,action,outcome,reason,secret_start,count,target_id,actor_type,actor_key_id,actor_user_id,actor_session_id,permission,client,request_id,hash,changed_fields,target_name,actor_key_name,actor_user_name",
  );
  expect(lines).toHaveLength(log.length + 1);
  expect(lines.at(-1)).toContain("organization.sign_up");
  expect(lines.find((line) => line.includes("api_key.rotate"))).toContain(",Web shop,");
  expect(lines.find((line) => line.includes("member.add,done"))).toMatch(
    /,(Grace Hopper|Alan Turing),.*,Ada Lovelace$/,
  );
  await page.getByLabel("Until").fill("2020-01-01");
  await expect(page.getByRole("heading", { name: "No matching events" })).toBeVisible();
});

test("the overview lists keys that need attention", async ({ page }) => {
  const admin = await sampleOrganization();
  await signIn(page, admin);
  await expect(async () => {
    await visit(page, admin, "overview", "Overview");
    await page.reload();
    await expect(page.getByRole("region", { name: "Totals" })).toContainText("28", { timeout: 2_000 });
  }).toPass();
  await settled(page);
  const list = (name: string) => page.getByRole("region", { name, exact: true }).getByRole("listitem");
  await expect(list("Most verifications").first()).toContainText("Mobile app");
  await expect(list("Most verifications").first()).toContainText("14 valid");
  await expect(list("Expiring within 30 days")).toHaveCount(1);
  await expect(list("Never used").getByRole("link")).toHaveText(["Partner: Initech", "Root for scripts"]);
  await expect(list("Overprivileged and unused"), "no key is 30 days old").toHaveCount(0);
  await expect(page.getByRole("img", { name: /^Verifications by hour: Valid 28, / })).toBeVisible();
  await picture(page, "overview");
});
