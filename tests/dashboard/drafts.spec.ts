// What is entered is not lost: leaving a form, the end of a session, and a lost connection. And how a new key begins.

import { expect, isAccessible, picture, signIn, test, visit } from "./browser.ts";
import { signUp } from "./service.ts";

test("a form with changes asks before it is left", async ({ page }) => {
  const admin = await signUp();
  const { id } = await admin.createKey({ name: "edited" });
  await signIn(page, admin);
  await visit(page, admin, "keys/new", "Create a key");
  const menu = page.getByRole("navigation", { name: "Organization" });
  await menu.getByRole("link", { name: "Members" }).click();
  await expect(page.getByRole("heading", { name: "Members" }), "nothing was entered").toBeVisible();
  await visit(page, admin, "keys/new", "Create a key");
  await page.getByLabel("Name").fill("Half done");
  await menu.getByRole("link", { name: "Members" }).click();
  const dialog = page.getByRole("dialog", { name: "Leave without saving?" });
  await expect(dialog).toBeVisible();
  await isAccessible(page);
  await picture(page, "leave-form");
  await dialog.getByRole("button", { name: "Stay here" }).click();
  await expect(page.getByLabel("Name")).toHaveValue("Half done");
  await page.getByRole("link", { name: "Cancel" }).click();
  await dialog.getByRole("button", { name: "Leave" }).click();
  await expect(page.getByRole("heading", { name: "Keys", exact: true })).toBeVisible();
  await page.getByRole("link", { name: "Create key" }).click();
  await expect(page.getByLabel("Name"), "it was discarded").toHaveValue("");
  // Going back keeps what was entered.
  await page.getByLabel("Name").fill("Kept");
  await page.goBack();
  await expect(page.getByRole("heading", { name: "Keys", exact: true })).toBeVisible();
  await page.goForward();
  await expect(page.getByLabel("Name")).toHaveValue("Kept");
  await page.getByRole("button", { name: "Discard changes" }).click();
  await expect(page.getByLabel("Name")).toHaveValue("");
  // The settings of a key, too.
  await visit(page, admin, `keys/${id}/settings`, "edited");
  await page.getByLabel("Name").fill("renamed");
  await page.getByRole("link", { name: "Activity" }).click();
  await expect(dialog).toBeVisible();
  await dialog.getByRole("button", { name: "Stay here" }).click();
  await page.getByRole("button", { name: "Save changes" }).click();
  await expect(page.getByText("Saved. The changes apply immediately.")).toBeVisible();
  await page.getByRole("link", { name: "Activity" }).click();
  await expect(page.getByRole("row").filter({ hasText: "Changed key" })).toContainText("name");
});

test("a dialog with changes asks before it is closed", async ({ page }) => {
  const admin = await signUp();
  await signIn(page, admin);
  const question = page.getByRole("dialog", { name: "Close without saving?" });
  const forms = [
    { path: "members", heading: "Members", button: "Add member", title: "Add a member", field: "Name" },
    { path: "members", heading: "Members", button: "Invite", title: "Invite a member", field: "Name" },
    { path: "sets", heading: "Permission sets", button: "New set", title: "New permission set", field: "Name" },
  ];
  for (const { path, heading, button, title, field } of forms) {
    await visit(page, admin, path, heading);
    const dialog = page.getByRole("dialog", { name: title });
    const open = () => page.getByRole("button", { name: button }).first().click();
    await open();
    await dialog.getByRole("button", { name: "Cancel" }).click();
    await expect(dialog, "nothing was entered").toHaveCount(0);
    await open();
    await dialog.getByLabel(field, { exact: true }).fill("Half done");
    for (const close of [
      () => page.keyboard.press("Escape"),
      () => dialog.getByRole("button", { name: "Close" }).click(),
      () => dialog.getByRole("button", { name: "Cancel" }).click(),
    ]) {
      await close();
      await expect(question).toBeVisible();
      await question.getByRole("button", { name: "Keep editing" }).click();
      await expect(question).toHaveCount(0);
      await expect(dialog.getByLabel(field, { exact: true })).toHaveValue("Half done");
    }
    // The browser closes a dialog at the second Escape, whatever the page says.
    for (let n = 0; n < 4; n += 1) await page.keyboard.press("Escape");
    await expect(dialog.getByLabel(field, { exact: true })).toHaveValue("Half done");
    if (await question.isHidden()) await dialog.getByRole("button", { name: "Cancel" }).click();
    await isAccessible(page);
    await question.getByRole("button", { name: "Discard" }).click();
    await expect(dialog).toHaveCount(0);
    await open();
    await expect(dialog.getByLabel(field, { exact: true }), "it was discarded").toHaveValue("");
    await dialog.getByRole("button", { name: "Cancel" }).click();
  }
  // The settings of the portal, which are a form of a page.
  await visit(page, admin, "organization", "Organization");
  await page.getByRole("region", { name: "Portal" }).getByLabel("Name").fill("Acme keys");
  await page.getByRole("navigation", { name: "Organization" }).getByRole("link", { name: "Members" }).click();
  await expect(page.getByRole("dialog", { name: "Leave without saving?" })).toBeVisible();
});

test("what was entered survives a new sign-in of the same caller", async ({ page, context }) => {
  const admin = await signUp();
  await signIn(page, admin);
  await visit(page, admin, "keys/new", "Create a key");
  await page.getByLabel("Name").fill("Survivor");
  await page.getByLabel("Uses of the rate limit").fill("7");
  await context.clearCookies();
  await page.getByRole("button", { name: "Create key" }).click();
  await expect(page.getByRole("heading", { name: "Sign in" })).toBeVisible();
  await page.getByLabel("API key or token").fill(admin.key);
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page.getByLabel("Name")).toHaveValue("Survivor");
  await expect(page.getByLabel("Uses of the rate limit")).toHaveValue("7");
  await page.getByRole("button", { name: "Create key" }).click();
  await expect(page.getByText("You will not see this key again.")).toBeVisible();
  await page.getByRole("button", { name: "I have stored it" }).click();
  // Another caller does not get it, nor the same one after signing out.
  await visit(page, admin, "keys/new", "Create a key");
  await expect(page.getByLabel("Name")).toHaveValue("");
  await page.getByLabel("Name").fill("Private");
  const other = await admin.createKey({ name: "other", permissions: ["*"] });
  await context.clearCookies();
  await page.getByRole("button", { name: "Create key" }).click();
  await page.getByLabel("API key or token").fill(other.key);
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page.getByRole("heading", { name: "Create a key" })).toBeVisible();
  await expect(page.getByLabel("Name")).toHaveValue("");
});

test("a lost connection is said, and the page recovers", async ({ page, context }) => {
  const admin = await signUp();
  await signIn(page, admin);
  await context.setOffline(true);
  await expect(page.getByText("You are offline.")).toBeVisible();
  await isAccessible(page);
  await picture(page, "offline");
  const menu = page.getByRole("navigation", { name: "Organization" });
  await menu.getByRole("link", { name: "Members" }).click();
  await expect(page.getByRole("alert").first(), "no endless loading").toContainText("The service did not answer.");
  await context.setOffline(false);
  await expect(page.getByText("You are offline.")).toHaveCount(0);
  await page.route("**/orgs/**", (route) => route.abort());
  await menu.getByRole("link", { name: "Audit log" }).click();
  await expect(page.getByText("The service does not answer.")).toBeVisible();
  await page.unroute("**/orgs/**");
  // It is tried again without a click.
  await expect(page.getByText("The service does not answer.")).toHaveCount(0, { timeout: 20_000 });
  await expect(page.getByRole("row").filter({ hasText: "Signed up" })).toBeVisible();
});

test("a new key expires in 90 days unless chosen otherwise, and templates fill the form", async ({ page }) => {
  const admin = await signUp();
  await signIn(page, admin);
  const summary = page.getByRole("region", { name: "Summary" });
  await page.getByRole("region", { name: "First steps" }).getByRole("link", { name: "Create a service key" }).click();
  await expect(page.getByLabel("Name")).toHaveValue("Service key");
  await expect(page.getByLabel("For managing Claviger")).toBeChecked();
  await expect(summary).toContainText("Can verify keys");
  await expect(page.getByRole("button", { name: "Service key" })).toHaveAttribute("aria-pressed", "true");
  await expect(page.getByRole("button", { name: "1 year" })).toHaveAttribute("aria-pressed", "true");
  await page.getByRole("button", { name: "Create key" }).click();
  const secret = (await page.getByLabel("The new key").textContent()) ?? "";
  await page.getByRole("button", { name: "I have stored it" }).click();
  const service = Object.assign(Object.create(Object.getPrototypeOf(admin) as object) as typeof admin, admin, {
    key: secret,
  });
  expect(await service.verify(admin.key)).toBe("VALID");
  await visit(page, admin, "keys/new", "Create a key");
  await expect(page.getByRole("button", { name: "90 days" })).toHaveAttribute("aria-pressed", "true");
  await expect(summary).toContainText("in 3 months");
  await page.getByRole("button", { name: "Read everything" }).click();
  await expect(page.getByLabel("Name")).toHaveValue("Read only");
  await page.getByRole("button", { name: "Never" }).click();
  await expect(summary).toContainText("never");
  await isAccessible(page);
  await picture(page, "create-template");
  await page.getByLabel("Expires").fill("2020-01-01T00:00");
  await page.getByRole("button", { name: "Create key" }).click();
  await expect(page.getByText("This time is in the past.").first()).toBeVisible();
});
