// Rules for keys: tried first, then set, and kept by every form for keys.

import { expect, isAccessible, picture, settled, signIn, test, visit } from "./browser.ts";
import { signUp } from "./service.ts";

const DAY = 86_400_000;
const inDays = (days: number) => new Date(Date.now() + days * DAY).toISOString();

test("rules are tried, show the keys that break them, and are kept when keys are created and changed", async ({
  page,
}) => {
  const admin = await signUp();
  const late = await admin.createKey({ name: "nightly job", expires_at: inDays(120) });
  await admin.createKey({ name: "no expiry" });
  await admin.createKey({ name: "short", expires_at: inDays(30) });
  await signIn(page, admin);
  await visit(page, admin, "organization", "Organization");
  const rules = page.getByRole("region", { name: "Key policy" });
  await expect(rules).toContainText("There are no rules.");
  await rules.getByRole("button", { name: "Add policy" }).click();
  await rules.getByLabel("Keys must expire").check();
  await rules.getByLabel("Longest lifetime in days").fill("0");
  await rules.getByRole("button", { name: "Check keys" }).click();
  await expect(rules).toContainText("Enter a whole number of days from 1 to 3650.");
  await rules.getByLabel("Longest lifetime in days").fill("90");
  await rules.getByRole("button", { name: "Check keys" }).click();
  // The keys that break them: the administrator's own one, too.
  await expect(rules).toContainText("3 keys break these rules.");
  const broken = rules.getByRole("list", { name: "Keys that break the rules" }).getByRole("listitem");
  await expect(broken).toHaveCount(3);
  await expect(broken.filter({ hasText: "nightly job" })).toContainText("longest lifetime");
  await expect(broken.filter({ hasText: "no expiry" })).toContainText("longest lifetime, expiry required");
  await isAccessible(page);
  await picture(page, "key-policy-check");
  // Nothing is set before it is saved, and a change needs another check.
  expect(await admin.call("GET", `/orgs/${admin.org}`)).toMatchObject({ key_policy: null });
  await rules.getByLabel("Allowed permissions").fill("files:read Read files of customers\nmail:send");
  await expect(rules.getByRole("button", { name: "Check keys" })).toBeVisible();
  await rules.getByRole("button", { name: "Check keys" }).click();
  await rules.getByRole("button", { name: "Save policy" }).click();
  await expect(page.getByText("Saved. The rules apply from now on.")).toBeVisible();
  await expect(rules.getByRole("list", { name: "Rules" })).toContainText(
    "Keys expire at most 90 days after their creation.",
  );
  // The page of a key says what it breaks, and its settings cannot be changed without keeping the rules.
  await visit(page, admin, `keys/${late.id}`, "nightly job");
  const list = page.getByRole("list", { name: "Broken rules" });
  await expect(list).toContainText("Breaks a rule of the organization: a key must expire at most 90 days");
  await isAccessible(page);
  await picture(page, "key-policy-broken");
  await page.getByRole("link", { name: "Settings" }).click();
  await page.getByLabel("Name", { exact: true }).fill("nightly");
  await page.getByRole("button", { name: "Save changes" }).click();
  await expect(page.getByRole("alert").first()).toContainText("Rule max lifetime days");
  // 90 days from now are too many for a key that exists already.
  await expect(page.getByRole("button", { name: "90 days" })).toHaveCount(0);
  await page.getByRole("button", { name: "30 days" }).click();
  await page.getByRole("button", { name: "Save changes" }).click();
  await expect(page.getByText("Saved. The changes apply immediately.")).toBeVisible();
  await page.getByRole("link", { name: "Overview" }).last().click();
  await expect(list).toHaveCount(0);
  // The form for a new key offers only what the rules allow.
  await visit(page, admin, "keys/new", "Create a key");
  await expect(page.getByRole("region", { name: "Key policy" })).toContainText("90 days");
  await settled(page);
  for (const preset of ["Never", "1 year"]) await expect(page.getByRole("button", { name: preset })).toHaveCount(0);
  await page.getByLabel("Name", { exact: true }).fill("reader");
  await page.getByLabel("files:read Read files of customers").check();
  await page.getByLabel("Expires", { exact: true }).fill("");
  await page.getByRole("button", { name: "Create key" }).click();
  await expect(page.getByRole("alert").first()).toContainText("a key must expire; set “Expires”");
  await page.getByRole("button", { name: "90 days" }).click();
  await isAccessible(page);
  await picture(page, "key-policy-create");
  await page.getByRole("button", { name: "Create key" }).click();
  await expect(page.getByText("You will not see this key again.")).toBeVisible();
});

test("keys with a permission set have its rules, too", async ({ page }) => {
  const admin = await signUp();
  const set = await admin.call<{ id: string }>("POST", `/orgs/${admin.org}/permission_sets`, {
    name: "billing",
    permissions: ["invoices:write"],
  });
  const key = await admin.createKey({ name: "accounting", permission_sets: [set.id] });
  await signIn(page, admin);
  await visit(page, admin, "sets", "Permission sets");
  await page.getByRole("button", { name: "Policy of billing" }).click();
  const dialog = page.getByRole("dialog", { name: "Key policy of billing" });
  await dialog.getByLabel("Permissions that need an IP allowlist").fill("invoices:*");
  await page.keyboard.press("Escape");
  await page
    .getByRole("dialog", { name: "Close without saving?" })
    .getByRole("button", { name: "Keep editing" })
    .click();
  await dialog.getByRole("button", { name: "Check keys" }).click();
  await expect(dialog).toContainText("1 key breaks these rules.");
  await expect(dialog.getByRole("list", { name: "Keys that break the rules" })).toContainText("accounting");
  await isAccessible(page);
  await dialog.getByRole("button", { name: "Save policy" }).click();
  await expect(page.getByText("Saved. The rules apply from now on.")).toBeVisible();
  await visit(page, admin, `keys/${key.id}`, "accounting");
  await expect(page.getByRole("list", { name: "Broken rules" })).toContainText("Breaks a rule of a permission set");
  // The rules are removed in the same way.
  await visit(page, admin, "sets", "Permission sets");
  await page.getByRole("button", { name: "Policy of billing" }).click();
  await dialog.getByLabel("Permissions that need an IP allowlist").fill("");
  await dialog.getByRole("button", { name: "Check keys" }).click();
  await expect(dialog).toContainText("No rule is set");
  await dialog.getByRole("button", { name: "Save policy" }).click();
  await expect(page.getByRole("button", { name: "Policy of billing" })).toContainText("Add policy");
  await visit(page, admin, `keys/${key.id}`, "accounting");
  await expect(page.getByRole("list", { name: "Broken rules" })).toHaveCount(0);
});
