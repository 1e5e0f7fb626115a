// Passkeys, with the virtual authenticator of Chromium: signing up, signing in, joining, adding, removing and recovering.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, expect, type Page, test } from "@playwright/test";
import { isAccessible } from "./browser.ts";
import { freePort, type OwnService, startService } from "./own-service.ts";
import { addAuthenticator, newLink, signUpWithPasskey } from "./people.ts";

let folder: string;
let own: OwnService;
/** The service at a name: browsers have no passkeys at an IP address. */
let url: string;

test.beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "claviger-dashboard-"));
  // The public URL is the listen address, so the service has to know its port.
  own = await startService({ CLAVIGER_LISTEN: `127.0.0.1:${await freePort()}` }, folder);
  url = own.url.replace("127.0.0.1", "localhost");
});

test.afterAll(async () => {
  own.service.kill();
  await rm(folder, { recursive: true, force: true });
});

/** A page of another person's browser. */
async function otherPage(browser: Browser): Promise<Page> {
  return (await browser.newContext()).newPage();
}

async function signOut(page: Page): Promise<void> {
  await page.getByRole("button", { name: "Sign out", exact: true }).click();
  await expect(page.getByRole("button", { name: "Sign in with a passkey" })).toBeVisible();
}

test("a person signs up, signs out and signs in with a passkey", async ({ page }) => {
  await addAuthenticator(page);
  await signUpWithPasskey(page, url, "Ada");
  await expect(page.getByRole("complementary", { name: "Menu" })).toContainText("Ada Ltd");
  await signOut(page);
  await isAccessible(page);
  await page.getByRole("button", { name: "Sign in with a passkey" }).click();
  await expect(page.getByRole("heading", { level: 1, name: "Keys" })).toBeVisible();
  await page.getByRole("link", { name: "Your passkeys" }).click();
  await expect(page.getByRole("heading", { level: 1, name: "Your passkeys" })).toBeVisible();
  await expect(page.getByRole("row").filter({ hasText: "Passkey" })).toBeVisible();
  await isAccessible(page);
});

test("a person adds, renames and removes passkeys", async ({ page }) => {
  const phone = await addAuthenticator(page);
  await signUpWithPasskey(page, url, "Grace");
  await page.getByRole("link", { name: "Your passkeys" }).click();
  await expect(page.getByRole("button", { name: "Remove Passkey" }), "the last one stays").toHaveCount(0);
  await page.getByRole("button", { name: "Add a passkey" }).click();
  await page.getByLabel("Name", { exact: true }).fill("Laptop");
  await page.getByRole("button", { name: "Create passkey" }).click();
  await expect(page.getByRole("dialog")).toContainText("already has a passkey of your account");
  await isAccessible(page);
  await phone.remove();
  await addAuthenticator(page);
  await page.getByRole("button", { name: "Create passkey" }).click();
  await expect(page.getByText("The passkey Laptop is added.")).toBeVisible();
  await page.getByRole("button", { name: "Rename Laptop" }).click();
  await page.getByLabel("Name", { exact: true }).fill("New laptop");
  await page.getByRole("button", { name: "Rename", exact: true }).last().click();
  await expect(page.getByRole("row").filter({ hasText: "New laptop" })).toBeVisible();
  await page.getByRole("button", { name: "Remove Passkey" }).click();
  await page.getByRole("button", { name: "Remove passkey" }).last().click();
  await expect(page.getByText("The passkey Passkey is removed.")).toBeVisible();
  await signOut(page);
  await page.getByRole("button", { name: "Sign in with a passkey" }).click();
  await expect(page.getByRole("heading", { level: 1, name: "Your passkeys" })).toBeVisible();
});

test("a colleague joins with a passkey, loses it, and gets access again", async ({ page, browser }) => {
  await addAuthenticator(page);
  await signUpWithPasskey(page, url, "Alan");
  await page.getByRole("link", { name: "Members" }).click();
  await page.getByRole("button", { name: "Invite" }).click();
  await page.getByLabel("Name").fill("Joan Clarke");
  await page.getByLabel("Add a permission").fill("api_keys:read");
  await page.getByRole("button", { name: "Add", exact: true }).click();
  await page.getByRole("button", { name: "Create link" }).click();
  const invitation = await newLink(page);

  const colleague = await otherPage(browser);
  const lost = await addAuthenticator(colleague);
  await colleague.goto(url + invitation);
  await expect(colleague.getByRole("heading", { name: "Join Alan Ltd" })).toBeVisible();
  await isAccessible(colleague);
  await colleague.getByRole("button", { name: "Create a passkey and join" }).click();
  await expect(colleague.getByRole("heading", { level: 1, name: "Keys" })).toBeVisible();
  expect(colleague.url()).not.toContain("cvi_");
  await signOut(colleague);
  await lost.remove();
  await addAuthenticator(colleague);

  await page.reload();
  await page.getByRole("button", { name: "Create a recovery link for Joan Clarke" }).click();
  await page.getByRole("button", { name: "Create link" }).click();
  const recovery = await newLink(page);
  await colleague.goto(url + recovery);
  await expect(colleague.getByRole("heading", { name: "Get access to Alan Ltd again" })).toBeVisible();
  await colleague.getByRole("button", { name: "Create a passkey and sign in" }).click();
  await expect(colleague.getByRole("heading", { level: 1, name: "Keys" })).toBeVisible();
  await expect(colleague.getByRole("complementary", { name: "Menu" })).toContainText("Joan Clarke");
});

test("at an IP address the page says why there are no passkeys", async ({ page }) => {
  await page.goto(own.url);
  await expect(page.getByText("Open this page at localhost.")).toBeVisible();
  await expect(page.getByRole("button", { name: "Sign in with a passkey" })).toHaveCount(0);
});
