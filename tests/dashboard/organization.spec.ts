// The organization: members, permission sets, the log as a list and as a file, and what deserves a look.

import { readFileSync } from "node:fs";
import { expect, isAccessible, picture, settled, signIn, test, visit } from "./browser.ts";
import { lively, ORIGIN, signUp } from "./service.ts";

test("members come, change and go", async ({ page }) => {
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
  await expect(page.getByText("Grace Hopper is a member now.")).toBeVisible();
  const row = page.getByRole("row").filter({ hasText: "Grace Hopper" });
  await expect(row).toContainText("files:read");
  await page.getByRole("button", { name: "Edit Grace Hopper" }).click();
  await page.getByRole("button", { name: "Remove files:read" }).click();
  await page.getByRole("button", { name: "Save" }).click();
  await expect(row).toContainText("none");
  await page.getByRole("button", { name: "Remove Grace Hopper" }).click();
  await expect(page.getByRole("dialog")).toContainText("No key belongs to them.");
  await page.getByRole("button", { name: "Remove member" }).click();
  await expect(row).toHaveCount(0);
  // The last who may do everything stays, and that is said.
  await page.getByRole("button", { name: "Remove Ada Lovelace" }).click();
  await expect(page.getByRole("dialog")).toContainText("That is you.");
  await page.getByRole("button", { name: "Remove member" }).click();
  await expect(page.getByText("Nobody would be left who may do everything.")).toBeVisible();
});

test("a permission set is made, given, changed and deleted", async ({ page }) => {
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
  const { key } = await admin.make({ name: "has it", permission_sets: [set?.id] });
  expect(await admin.verify(key, ["files:list"])).toBe("INSUFFICIENT_PERMISSIONS");
  await page.getByRole("button", { name: "Edit readers" }).click();
  await page.getByLabel("Add a permission").fill("files:list");
  await page.getByRole("button", { name: "Add", exact: true }).click();
  await page.getByRole("button", { name: "Save set" }).click();
  await expect(page.getByText("readers is changed for all who have it.")).toBeVisible();
  expect(await admin.verify(key, ["files:list"])).toBe("VALID");
  await page.getByRole("button", { name: "Delete readers" }).click();
  await page.getByRole("button", { name: "Delete set" }).click();
  await expect(page.getByText("Keys or members have this permission set.")).toBeVisible();
  await page.getByLabel("Take it from all keys").check();
  await page.getByRole("button", { name: "Delete set" }).click();
  await expect(page.getByText("readers is deleted.")).toBeVisible();
});

test("the log is filtered, and taken along as CSV and JSON", async ({ page }) => {
  const admin = await lively();
  const { key } = await admin.make({ name: "may not", permissions: ["api_keys:read"] });
  const refused = await fetch(`${ORIGIN}/orgs/${admin.org}/members`, {
    method: "POST",
    headers: { Authorization: `Bearer ${key}` },
  });
  expect(refused.status).toBe(403);
  await signIn(page, admin);
  await visit(page, admin, "audit", "Audit log");
  await expect(page.getByRole("row").filter({ hasText: "Rotated key" })).toContainText("Web shop");
  await page.getByLabel("What").selectOption("Added member");
  await page.getByLabel("Outcome").selectOption("Done");
  await expect(page.getByRole("row")).toHaveCount(3);
  await expect(page.getByRole("row").nth(1)).toContainText("Alan Turing");
  await page.getByLabel("Who").selectOption("Grace Hopper");
  await expect(page.getByRole("heading", { name: "Nothing like that was done" })).toBeVisible();
  await page.getByLabel("Who").selectOption("Ada Lovelace");
  await expect(page.getByRole("row")).toHaveCount(3);
  await page.getByLabel("Who").selectOption("Everybody");
  await page.getByLabel("What").selectOption("Everything");
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
    "seq,at,action,outcome,reason,count,target_id,actor_type,actor_key_id,actor_user_id,actor_session_id,permission,client,request_id,hash",
  );
  expect(lines).toHaveLength(log.length + 1);
  expect(lines.at(-1)).toContain("organization.sign_up");
  await page.getByLabel("Until").fill("2020-01-01");
  await expect(page.getByRole("heading", { name: "Nothing like that was done" })).toBeVisible();
});

test("the overview names what deserves a look", async ({ page }) => {
  const admin = await lively();
  await signIn(page, admin);
  await expect(async () => {
    await visit(page, admin, "overview", "Overview");
    await page.reload();
    await expect(page.getByRole("region", { name: "The last day" })).toContainText("28", { timeout: 2_000 });
  }).toPass();
  await settled(page);
  const list = (name: string) => page.getByRole("region", { name, exact: true }).getByRole("listitem");
  await expect(list("Top keys").first()).toContainText("Mobile app");
  await expect(list("Top keys").first()).toContainText("14 uses");
  await expect(list("Expiring within 30 days")).toHaveCount(1);
  await expect(list("Never used").getByRole("link")).toHaveText(["Partner: Initech", "Root for scripts"]);
  await expect(list("More than they use").getByRole("link")).toHaveText(["Root for scripts"]);
  await expect(page.getByRole("img", { name: /^Verifications by hour: Valid 28, / })).toBeVisible();
  await picture(page, "overview");
});
