// Signing in and out, and error messages.

import { expect, isAccessible, picture, signIn, test } from "./browser.ts";
import { Caller, ORIGIN, signUp } from "./service.ts";

test("an unknown key is rejected, and the page shows how to sign up", async ({ page }) => {
  await page.goto("/");
  await page.getByLabel("API key or token").fill("cvg_wrong");
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page.getByRole("alert")).toContainText("This key or token is not valid");
  await page.getByText("I have no key yet").click();
  await expect(page.locator("pre")).toContainText(`curl -s -X POST ${ORIGIN}/auth/create-key`);
  await isAccessible(page);
});

test("a key is accepted as it was copied", async ({ page }) => {
  const admin = await signUp();
  await page.goto("/");
  await page.getByLabel("API key or token").fill(` "Authorization: Bearer ${admin.key}" `);
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page.getByRole("heading", { name: "Keys", exact: true })).toBeVisible();
});

test("the session cookie is not readable by scripts, and signing out ends the session", async ({ page, context }) => {
  const admin = await signUp();
  await signIn(page, admin);
  const [cookie] = await context.cookies();
  expect(cookie).toMatchObject({ name: "apiKeyCookie", httpOnly: true, sameSite: "Strict" });
  expect(await page.evaluate(() => document.cookie)).toBe("");
  await page.reload();
  await expect(page.getByText("Ada Lovelace").first()).toBeVisible();
  await expect(page.getByText("Acme Corp")).toBeVisible();
  await page.route("**/session", (route) => route.abort());
  await page.getByRole("button", { name: "Sign out", exact: true }).click();
  await expect(page.getByText("You are still signed in."), "the request failed").toBeVisible();
  await page.unroute("**/session");
  await page.getByRole("button", { name: "Sign out", exact: true }).click();
  await expect(page.getByRole("heading", { name: "Sign in" })).toBeVisible();
  const response = await fetch(`${ORIGIN}/me`, { headers: { Cookie: `apiKeyCookie=${cookie?.value}` } });
  expect(response.status, "the session has ended on the service").toBe(401);
});

test("signing out everywhere ends the sessions of all browsers", async ({ page, browser }) => {
  const admin = await signUp();
  await signIn(page, admin);
  const other = await (await browser.newContext({ baseURL: ORIGIN })).newPage();
  await signIn(other, admin);
  await page.getByRole("button", { name: "Sign out everywhere" }).click();
  await expect(page.getByRole("dialog")).toContainText("The key itself stays valid");
  await isAccessible(page);
  await page.getByRole("button", { name: "End all sessions" }).click();
  await expect(page.getByRole("heading", { name: "Sign in" })).toBeVisible();
  await other.reload();
  await expect(other.getByRole("heading", { name: "Sign in" })).toBeVisible();
  await other.context().close();
});

test("a platform caller restores a deleted organization", async ({ page }) => {
  const tenant = await signUp("Hooli");
  const platform = new Caller(process.env.CLAVIGER_PLATFORM_KEY ?? "", tenant.org);
  await platform.call("PATCH", `/orgs/${tenant.org}`, { external_id: `crm-${tenant.org}` });
  await tenant.call("DELETE", `/orgs/${tenant.org}?confirm=${tenant.org}`);
  await signIn(page, platform);
  await page.getByLabel("Find by external id").fill(`crm-${tenant.org}`);
  await page.getByLabel("Deleted").check();
  await isAccessible(page);
  await page.getByRole("button", { name: "Restore Hooli" }).click();
  await expect(page.getByText("Hooli is restored")).toBeVisible();
  await page.getByLabel("Deleted").uncheck();
  await expect(page.getByRole("link", { name: "Hooli" })).toBeVisible();
});

test("a key that cannot manage cannot sign in, but a session of one that could can sign out", async ({ page }) => {
  const admin = await signUp();
  const { id, key } = await admin.createKey({ name: "customer", permissions: ["*"], can_manage: false });
  await page.goto("/");
  await page.getByLabel("API key or token").fill(key);
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page.getByRole("alert")).toContainText(/cannot manage/i);
  await admin.updateKey(id, { can_manage: true });
  await signIn(page, new Caller(key, admin.org));
  await expect(page.getByRole("link", { name: "customer" })).toBeVisible();
  await admin.updateKey(id, { can_manage: false });
  await page.getByRole("button", { name: "Sign out", exact: true }).click();
  await expect(page.getByRole("heading", { name: "Sign in" })).toBeVisible();
});

test("revoking the key of a session shows the sign-in page", async ({ page }) => {
  const admin = await signUp();
  const { id, key } = await admin.createKey({ name: "short-lived", permissions: ["api_keys:read"] });
  await signIn(page, new Caller(key, admin.org));
  await expect(page.getByRole("link", { name: "short-lived" })).toBeVisible();
  await admin.call("DELETE", `/orgs/${admin.org}/api_keys/${id}`);
  await page.getByLabel("Search keys").fill("x");
  await expect(page.getByRole("heading", { name: "Sign in" })).toBeVisible();
  await expect(page.getByText("You were signed out: the session has ended")).toBeVisible();
});

test("a platform caller chooses an organization", async ({ page }) => {
  const tenant = await signUp("Initech");
  const platform = new Caller(process.env.CLAVIGER_PLATFORM_KEY ?? "", tenant.org);
  await signIn(page, platform);
  await expect(page.getByRole("heading", { name: "Organizations" })).toBeVisible();
  await isAccessible(page);
  await picture(page, "organizations");
  await platform.call("PATCH", `/orgs/${tenant.org}`, { external_id: `crm-${tenant.org}` });
  await page.getByLabel("Find by external id").fill(`crm-${tenant.org}`);
  await page.getByRole("link", { name: "Initech" }).click();
  await expect(page.getByRole("heading", { name: "Keys" })).toBeVisible();
  await expect(page.getByRole("row")).toHaveCount(2);
  await page.getByRole("navigation", { name: "Organization" }).getByRole("link", { name: "Try a key" }).click();
  await page.getByLabel("Key", { exact: true }).fill(tenant.key);
  await page.getByRole("button", { name: "Check key" }).click();
  await expect(page.getByText("The key is valid")).toBeVisible();
});

test("errors are shown with the request's id, and the request can be sent again", async ({ page }) => {
  const admin = await signUp();
  await signIn(page, admin);
  await page.route("**/audit_events?*", (route) =>
    route.fulfill({
      status: 500,
      json: { message: "An error occurred on the server", code: 500, reason: "internal", request_id: "r-42" },
    }),
  );
  await page.goto(admin.path("audit"));
  await expect(page.getByRole("alert")).toContainText("The service has failed.");
  await expect(page.getByRole("alert")).toContainText("Request id r-42");
  await isAccessible(page);
  await page.unroute("**/audit_events?*");
  await page.getByRole("button", { name: "Try again" }).click();
  await expect(page.getByRole("row").filter({ hasText: "Signed up" })).toBeVisible();
  await page.route("**/members?*", (route) => route.abort());
  await page.goto(admin.path("members"));
  await expect(page.getByRole("alert")).toContainText("The service did not answer.");
  const { key } = await admin.createKey({ name: "reads keys", permissions: ["api_keys:read"] });
  await page.getByRole("button", { name: "Sign out", exact: true }).click();
  await expect(page.getByRole("heading", { name: "Sign in" })).toBeVisible();
  await signIn(page, new Caller(key, admin.org));
  await page.goto(admin.path("audit"));
  await expect(page.getByRole("alert")).toContainText("audit:read");
});
