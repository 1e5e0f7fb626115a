// Signing in and out at an identity provider, and accepting an invitation with it.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, type Page, test as base } from "@playwright/test";
import { isAccessible } from "./browser.ts";
import { freePort, startService } from "./own-service.ts";
import { post, signInAtProvider, signInSettings, startProvider } from "./people.ts";

/** A service, the provider at which its users sign in, and a way to create things in the service. */
interface SignInService {
  url: string;
  provider: string;
  invite: (organization: string) => Promise<string>;
}

const test = base.extend<{ signInService: SignInService }>({
  signInService: async ({}, use) => {
    const folder = await mkdtemp(join(tmpdir(), "claviger-dashboard-"));
    const provider = await startProvider();
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const settings = {
      CLAVIGER_LISTEN: `127.0.0.1:${port}`,
      CLAVIGER_ISSUERS_FILE: await signInSettings(provider.url, url, folder),
      CLAVIGER_SIGNUP: "open",
    };
    const { service } = await startService(settings, folder);
    try {
      await use({
        url,
        provider: provider.url,
        invite: async (organization) => {
          const user = { user_name: "Root", org_name: organization, user_email: `${organization}@example.com` };
          const { data } = await post<{ data: { api_key: string; org_id: string } }>(`${url}/auth/create-key`, user);
          const body = { user_name: "Ada Lovelace", permissions: ["api_keys:read"] };
          return (await post<{ url: string }>(`${url}/orgs/${data.org_id}/invitations`, body, data.api_key)).url;
        },
      });
    } finally {
      service.kill();
      provider.process.kill();
      await rm(folder, { recursive: true, force: true });
    }
  },
});

const keys = (page: Page) => page.getByRole("heading", { level: 1, name: "Keys" });

test("a person accepts an invitation at the provider, signs out at both, and signs in again", async ({
  page,
  signInService,
}) => {
  await page.goto(await signInService.invite("Acme"));
  await expect(page.getByRole("heading", { name: "Join Acme" })).toBeVisible();
  await isAccessible(page);
  await page.getByRole("link", { name: "Accept with Acme account" }).click();
  await signInAtProvider(page, "ada");
  await expect(keys(page)).toBeVisible();
  expect(page.url(), "the token is not in the address").not.toContain("cvi_");
  const cookies = await page.context().cookies(signInService.url);
  expect(cookies.find(({ name }) => name === "apiKeyCookie")).toMatchObject({ httpOnly: true, sameSite: "Strict" });
  expect(cookies.find(({ name }) => name === "claviger_sign_in")).toBeUndefined();
  // Signing out asks the provider to end its session, too, and comes back.
  await page.getByRole("button", { name: "Sign out", exact: true }).click();
  await page.waitForURL(`${signInService.provider}/**`);
  await page.getByRole("button", { name: "Yes, sign me out" }).click();
  await page.waitForURL(`${signInService.url}/**`);
  await expect(page.getByRole("heading", { name: "Sign in" })).toBeVisible();
  await expect(page.getByLabel("API key or token")).toBeHidden();
  await isAccessible(page);
  const link = page.getByRole("link", { name: "Sign in with Acme account" });
  await link.click();
  await expect(page.getByPlaceholder("Enter any login"), "the provider asks again").toBeVisible();
  await signInAtProvider(page, "ada");
  await expect(keys(page)).toBeVisible();
  // The session at the provider is still there: no question is asked, and the requested page is shown.
  await page.context().clearCookies({ name: "apiKeyCookie" });
  await page.goto(`${signInService.url}/#/organizations`);
  await page.reload();
  await page.getByRole("link", { name: "Sign in with Acme account" }).click();
  await expect(page.getByRole("heading", { level: 1, name: "Organizations" })).toBeVisible();
});

test("a person with several organizations switches between them", async ({ page, signInService }) => {
  await page.goto(await signInService.invite("Acme"));
  await page.getByRole("link", { name: "Accept with Acme account" }).click();
  await signInAtProvider(page, "grace");
  await expect(keys(page)).toBeVisible();
  await page.goto(await signInService.invite("Initech"));
  await page.getByRole("button", { name: "Accept" }).click();
  const menu = page.getByRole("complementary", { name: "Menu" });
  await expect(menu).toContainText("Initech");
  await menu.getByRole("link", { name: "Initech" }).click();
  await page.getByRole("link", { name: "Acme" }).click();
  await expect(menu.getByRole("link", { name: "Acme" })).toBeVisible();
});

test("sign-ins that fail say why", async ({ page, signInService }) => {
  await page.goto(signInService.url);
  await page.getByRole("link", { name: "Sign in with Acme account" }).click();
  await expect(page.getByPlaceholder("Enter any login")).toBeVisible();
  await page.goto(
    `${signInService.url}/sign_in/acme/callback?code=x&state=wrong&iss=${encodeURIComponent(signInService.provider)}`,
  );
  await expect(page.getByRole("alert")).toContainText("This sign-in took too long");
  await isAccessible(page);
  await page.getByRole("link", { name: "Sign in with Acme account" }).click();
  await signInAtProvider(page, "eve");
  await expect(page.getByRole("alert")).toContainText("No organization here has you as a member");
  await page.getByText("Sign in with an API key or a token").click();
  await expect(page.getByLabel("API key or token")).toBeVisible();
});
