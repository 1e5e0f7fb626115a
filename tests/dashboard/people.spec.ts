// Organizations of people: signing up, inviting, keys of one's own, sessions elsewhere and deletion, each in at most 12 clicks, and
// without pasting a key.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, type Page, test as base } from "@playwright/test";
import { isAccessible, journey, picture, settled } from "./browser.ts";
import { freePort, startService } from "./own-service.ts";
import {
  addAuthenticator,
  newLink,
  signInAtProvider,
  signInSettings,
  signUpWithPasskey,
  startProvider,
} from "./people.ts";

const SIZES = {
  phone: { width: 390, height: 844 },
  desktop: { width: 1280, height: 860 },
};

/** The URL of a service with passkeys, a provider and open sign-up. */
const test = base.extend<object, { url: string }>({
  url: [
    async ({}, use) => {
      const folder = await mkdtemp(join(tmpdir(), "claviger-dashboard-"));
      const provider = await startProvider();
      const port = await freePort();
      const url = `http://localhost:${port}`;
      const { service } = await startService(
        {
          CLAVIGER_LISTEN: `127.0.0.1:${port}`,
          CLAVIGER_PUBLIC_ORIGIN: url,
          CLAVIGER_ISSUERS_FILE: await signInSettings(provider.url, url, folder),
          CLAVIGER_SIGNUP: "open",
          CLAVIGER_SIGNUP_RATE: "1000",
        },
        folder,
      );
      await use(url);
      service.kill();
      provider.process.kill();
      await rm(folder, { recursive: true, force: true });
    },
    { scope: "worker" },
  ],
});

async function invite(page: Page, name: string, permissions: string[]): Promise<string> {
  await page.getByRole("link", { name: "Members" }).click();
  await page.getByRole("button", { name: "Invite" }).click();
  await page.getByLabel("Name").fill(name);
  for (const permission of permissions) {
    await page.getByLabel("Add a permission").fill(permission);
    await page.getByLabel("Add a permission").press("Enter");
  }
  await isAccessible(page);
  await page.getByRole("button", { name: "Create link" }).click();
  return newLink(page);
}

test("an organization of people, from the first passkey to its deletion", async ({ page, browser, url }) => {
  const laptop = await addAuthenticator(page);
  await signUpWithPasskey(page, url, "Ada");

  let invitation = "";
  await journey(page, "invite", async () => {
    invitation = await invite(page, "Grace Hopper", ["own_api_keys:*", "files:read"]);
  });

  const grace = await (await browser.newContext()).newPage();
  await grace.goto(url + invitation);
  await expect(grace.getByRole("heading", { name: "Join Ada Ltd" })).toBeVisible();
  await isAccessible(grace);
  await grace.getByRole("link", { name: "Accept with Acme account" }).click();
  await signInAtProvider(grace, "grace");
  await expect(grace.getByRole("heading", { level: 1, name: "My keys" })).toBeVisible();
  await journey(grace, "a key of one's own", async () => {
    await grace.getByRole("link", { name: "Create key" }).first().click();
    await grace.getByLabel("Name").fill("Laptop");
    await grace.getByLabel("Add a permission").fill("files:read");
    await grace.getByLabel("Add a permission").press("Enter");
    await grace.getByRole("button", { name: "Create key" }).click();
    await expect(grace.getByLabel("The new key")).toContainText("cvg_");
    await grace.getByRole("button", { name: "I have stored it" }).click();
    await expect(grace.getByRole("heading", { name: "Laptop" })).toBeVisible();
  });

  // The same passkey on another device, as a password manager synchronizes it.
  const phone = await (await browser.newContext()).newPage();
  const synchronized = await addAuthenticator(phone, await laptop.passkeys());
  await phone.goto(url);
  await phone.getByRole("button", { name: "Sign in with a passkey" }).click();
  await expect(phone.getByRole("heading", { level: 1, name: "Keys" })).toBeVisible();
  await journey(page, "end a session elsewhere", async () => {
    await page.getByRole("link", { name: "Your sessions" }).click();
    await expect(page.getByRole("row")).toHaveCount(3);
    await page.getByRole("button", { name: /^End the session of/ }).click();
    await expect(page.getByText("The session is ended.")).toBeVisible();
  });
  await phone.reload();
  await expect(phone.getByRole("button", { name: "Sign in with a passkey" })).toBeVisible();

  // The virtual authenticator counts signatures, and a counter that goes back is refused.
  await laptop.remove();
  await addAuthenticator(page, await synchronized.passkeys());
  // The session counts as old until the page signs in again.
  let isOld = true;
  page.on("request", (request) => {
    if (request.url() === `${url}/session/passkey`) isOld = false;
  });
  await page.route(`${url}/orgs/*?confirm=*`, (route) => {
    if (!isOld || route.request().method() !== "DELETE") return route.continue();
    const body = { message: "sign in again", code: 403, reason: "fresh_sign_in_required", request_id: "r-1" };
    return route.fulfill({ status: 403, json: body });
  });
  await journey(page, "delete the organization", async () => {
    await page.getByRole("link", { name: "Organization", exact: true }).click();
    await page.getByRole("button", { name: "Delete organization" }).click();
    await page.getByLabel(/to confirm/).fill("Ada Ltd");
    await page.getByRole("dialog").getByRole("button", { name: "Delete organization" }).click();
    await expect(page.getByRole("dialog", { name: "Sign in again" })).toBeVisible();
    await isAccessible(page);
    await picture(page, "sign-in-again-passkey");
    await page.getByRole("button", { name: "Use your passkey" }).click();
    await expect(page.getByRole("dialog", { name: "Ada Ltd is deleted" })).toBeVisible();
  });
  await grace.reload();
  await expect(grace.getByRole("heading", { name: "Sign in" }), "the sessions in it have ended").toBeVisible();
});

for (const [size, viewport] of Object.entries(SIZES)) {
  for (const colorScheme of ["light", "dark"] as const) {
    test.describe(`${size}, ${colorScheme}`, () => {
      test.use({ viewport, colorScheme });
      test("the pages of a person", async ({ page, browser, url }) => {
        const take = async (of: Page, name: string) => {
          await settled(of);
          await isAccessible(of);
          await picture(of, `person-${size}-${colorScheme}-${name}`);
        };
        await addAuthenticator(page);
        await page.goto(url);
        await expect(page.getByRole("link", { name: "Sign in with Acme account" })).toBeVisible();
        await take(page, "sign-in");
        await page.getByRole("link", { name: "Create an organization" }).click();
        await take(page, "sign-up");
        await signUpWithPasskey(page, url, `${size} ${colorScheme}`);
        for (const [path, title] of [
          ["passkeys", "Your passkeys"],
          ["sessions", "Your sessions"],
        ]) {
          await page.goto(`${url}/#/${path}`);
          await expect(page.getByRole("heading", { level: 1, name: title })).toBeVisible();
          await take(page, path as string);
        }
        await page.goto(url);
        if (size === "phone") await page.getByRole("button", { name: "Menu" }).click();
        const invitation = await invite(page, "Grace Hopper", ["files:read"]);
        const other = await (await browser.newContext({ viewport, colorScheme })).newPage();
        await other.goto(url + invitation);
        await expect(other.getByRole("heading", { name: /^Join/ })).toBeVisible();
        await take(other, "invitation");
      });
    });
  }
}
