// The pages of sessions, and the dialog to sign in again.

import { expect, isAccessible, picture, signIn, test, visit } from "./browser.ts";
import { ORIGIN, signUp } from "./service.ts";

const FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:130.0) Gecko/20100101 Firefox/130.0";

test("a session in another browser is ended, alone or with all others", async ({ page, browser }) => {
  const admin = await signUp();
  const other = await (await browser.newContext({ baseURL: ORIGIN, userAgent: FIREFOX })).newPage();
  await signIn(other, admin);
  await signIn(page, admin);
  await page.getByRole("link", { name: "Your sessions" }).click();
  await expect(page.getByRole("heading", { level: 1, name: "Your sessions" })).toBeVisible();
  const row = page.getByRole("row").filter({ hasText: "Firefox on Windows" });
  await expect(row).toContainText("127.0.0.1");
  await expect(page.getByRole("row").filter({ hasText: "This session" })).toContainText("Chrome on Linux");
  await isAccessible(page);
  await picture(page, "sessions");
  await row.getByRole("button", { name: "End the session of Firefox on Windows" }).click();
  await expect(page.getByText("The session is ended.")).toBeVisible();
  await expect(row).toHaveCount(0);
  await expect(page.getByRole("button", { name: "End all others" })).toHaveCount(0);
  await other.reload();
  await expect(other.getByRole("heading", { name: "Sign in" })).toBeVisible();
  await signIn(other, admin);
  await page.reload();
  await page.getByRole("button", { name: "End all others" }).click();
  await page.getByRole("button", { name: "End other sessions" }).click();
  await expect(page.getByText("1 other session ended.")).toBeVisible();
  await page.reload();
  await expect(page.getByRole("heading", { level: 1, name: "Your sessions" })).toBeVisible();
  await other.reload();
  await expect(other.getByRole("heading", { name: "Sign in" })).toBeVisible();
  await other.context().close();
});

test("an administrator lists the sessions of a member, and ends one", async ({ page, browser }) => {
  const admin = await signUp();
  const other = await (await browser.newContext({ baseURL: ORIGIN, userAgent: FIREFOX })).newPage();
  await signIn(other, admin);
  await signIn(page, admin);
  await visit(page, admin, "members", "Members");
  await page.getByRole("button", { name: "Sessions of Ada Lovelace" }).click();
  const dialog = page.getByRole("dialog");
  await expect(dialog).toContainText("This session");
  await isAccessible(page);
  await dialog.getByRole("button", { name: "End the session of Firefox on Windows" }).click();
  await expect(dialog.getByText("Firefox on Windows")).toHaveCount(0);
  await other.reload();
  await expect(other.getByRole("heading", { name: "Sign in" })).toBeVisible();
  await other.context().close();
});

test("an operation that needs a fresh sign-in asks for it, and is then repeated", async ({ page }) => {
  const admin = await signUp();
  await signIn(page, admin);
  // The session counts as old until the page tries to sign in again.
  let isOld = true;
  page.on("request", (request) => {
    if (request.url() === `${ORIGIN}/session`) isOld = false;
  });
  await page.route(`**/orgs/${admin.org}/api_keys`, (route) => {
    if (!isOld || route.request().method() !== "POST") return route.continue();
    const body = { message: "sign in again", code: 403, reason: "fresh_sign_in_required", request_id: "r-1" };
    return route.fulfill({ status: 403, json: body });
  });
  await visit(page, admin, "keys/new", "Create a key");
  await page.getByLabel("For managing Claviger").check();
  await page.getByLabel("Name").fill("Root");
  await page.getByLabel("Add a permission").fill("*");
  await page.getByLabel("Add a permission").press("Enter");
  await page.getByRole("button", { name: "Create key" }).click();
  const dialog = page.getByRole("dialog", { name: "Sign in again" });
  await expect(dialog).toContainText("within the last 10 minutes");
  await isAccessible(page);
  await picture(page, "sign-in-again");
  await dialog.getByRole("button", { name: "Cancel" }).click();
  await expect(page.getByRole("alert")).toContainText("Nothing was changed.");
  await page.getByRole("button", { name: "Create key" }).click();
  await dialog.getByLabel("API key").fill("cvg_wrong");
  await dialog.getByRole("button", { name: "Sign in again" }).click();
  await expect(dialog.getByRole("alert")).toContainText("This key or token is not valid");
  await dialog.getByLabel("API key").fill(admin.key);
  await dialog.getByRole("button", { name: "Sign in again" }).click();
  await expect(page.getByText("You will not see this key again.")).toBeVisible();
  const [key] = await admin.call<Record<string, unknown>[]>("GET", `/orgs/${admin.org}/api_keys?name=root`);
  expect(key).toMatchObject({ permissions: ["*"] });
  const sessions = await admin.call<unknown[]>("GET", "/me/sessions");
  expect(sessions, "the new session has replaced the old one").toHaveLength(1);
});
