// Coming in and going out, and what is said when something is wrong.

import { expect, isAccessible, picture, signIn, test } from "./browser.ts";
import { Caller, ORIGIN, signUp } from "./service.ts";

test("a wrong key opens nothing, and a way to a first one is shown", async ({ page }) => {
  await page.goto("/");
  await page.getByLabel("API key or token").fill("cvg_wrong");
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page.getByRole("alert")).toContainText("This key or token is not good");
  await page.getByText("I have no key yet").click();
  await expect(page.locator("pre")).toContainText(`curl -s -X POST ${ORIGIN}/auth/create-key`);
  await isAccessible(page);
});

test("the session is in a cookie that no script reads, and ends with signing out", async ({ page, context }) => {
  const admin = await signUp();
  await signIn(page, admin);
  const [cookie] = await context.cookies();
  expect(cookie).toMatchObject({ name: "apiKeyCookie", httpOnly: true, sameSite: "Strict" });
  expect(await page.evaluate(() => document.cookie)).toBe("");
  await page.reload();
  await expect(page.getByText("Ada Lovelace").first()).toBeVisible();
  await expect(page.getByText("Acme Corp")).toBeVisible();
  await page.route("**/session", (route) => route.abort());
  await page.getByRole("button", { name: "Sign out" }).click();
  await expect(page.getByText("You are still signed in."), "what did not happen is not claimed").toBeVisible();
  await page.unroute("**/session");
  await page.getByRole("button", { name: "Sign out" }).click();
  await expect(page.getByRole("heading", { name: "Sign in" })).toBeVisible();
  const old = await fetch(`${ORIGIN}/me`, { headers: { Cookie: `apiKeyCookie=${cookie?.value}` } });
  expect(old.status, "it is over on the service, too").toBe(401);
});

test("whose key is revoked is at the door again", async ({ page }) => {
  const admin = await signUp();
  const { id, key } = await admin.make({ name: "short-lived", permissions: ["api_keys:read"] });
  await signIn(page, new Caller(key, admin.org));
  await expect(page.getByRole("link", { name: "short-lived" })).toBeVisible();
  await admin.call("DELETE", `/orgs/${admin.org}/api_keys/${id}`);
  await page.getByLabel("Search by name").fill("x");
  await expect(page.getByRole("heading", { name: "Sign in" })).toBeVisible();
  await expect(page.getByText("You were signed out: the session has ended")).toBeVisible();
});

test("the platform chooses among organizations and acts in one", async ({ page }) => {
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
  await expect(page.getByText("The key is good")).toBeVisible();
});

test("what goes wrong is said in words, with the request's id, and can be tried again", async ({ page }) => {
  const admin = await signUp();
  await signIn(page, admin);
  await page.route("**/audit_events?*", (route) =>
    route.fulfill({ status: 500, json: { message: "An error occurred on the server", code: 500, request_id: "r-42" } }),
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
  const { key } = await admin.make({ name: "reads keys", permissions: ["api_keys:read"] });
  await page.getByRole("button", { name: "Sign out" }).click();
  await signIn(page, new Caller(key, admin.org));
  await page.goto(admin.path("audit"));
  await expect(page.getByRole("alert")).toContainText("This needs the permission audit:read, which you do not have.");
});
