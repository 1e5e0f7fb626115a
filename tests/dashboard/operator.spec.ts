// The operator's pages, and the settings of an organization: each task in at most 12 clicks, on three sizes of screen and in both
// themes.

import { expect, isAccessible, journey, picture, settled, signIn, test, visit } from "./browser.ts";
import { Caller, signUp } from "./service.ts";

const SIZES = {
  phone: { width: 390, height: 844 },
  tablet: { width: 1024, height: 768 },
  wide: { width: 1920, height: 1080 },
};

const operator = (org: string) => new Caller(process.env.CLAVIGER_PLATFORM_KEY ?? "", org);

test("the operator creates, finds, limits, suspends, deletes and restores an organization", async ({ page }) => {
  const tenant = await signUp(`Vandelay ${crypto.randomUUID()}`);
  const platform = operator(tenant.org);
  await signIn(page, platform);
  await expect(page.getByRole("heading", { level: 1, name: "Organizations" })).toBeVisible();
  const name = `Straße ${crypto.randomUUID()}`;

  await journey(page, "create", async () => {
    await page.getByRole("button", { name: "Create organization" }).click();
    await page.getByLabel("Name", { exact: true }).fill(name);
    await page.getByLabel("External id", { exact: true }).fill(name);
    await isAccessible(page);
    await page.getByRole("button", { name: "Create organization" }).last().click();
    await expect(page.getByText(`${name} is created.`)).toBeVisible();
    await expect(page.getByRole("heading", { level: 1, name: "Members" })).toBeVisible();
  });

  await journey(page, "find, rename and limit", async () => {
    await page.getByRole("link", { name }).click();
    await page.getByLabel("Search by name").fill(name.replace("Straße", "STRASSE"));
    await page.getByRole("link", { name }).click();
    await page.getByRole("link", { name: "Organization", exact: true }).click();
    await page.getByRole("region", { name: "General" }).getByLabel("Name", { exact: true }).fill(`${name} 2`);
    await page.getByRole("region", { name: "General" }).getByRole("button", { name: "Save", exact: true }).click();
    await expect(page.getByText("Saved.", { exact: true })).toBeVisible();
    await page.getByLabel("Keys", { exact: true }).fill("7");
    await page.getByRole("button", { name: "Save maximum numbers" }).click();
    await expect(page.getByText("Saved. What exists already is kept.")).toBeVisible();
  });
  const [found] = await platform.call<{ id: string }[]>("GET", `/orgs?name=${encodeURIComponent(name)}`);
  expect(found).toMatchObject({ name: `${name} 2`, max_api_keys: 7, max_members: null, external_id: name });

  await journey(page, "suspend and resume", async () => {
    await page.getByRole("button", { name: "Suspend organization" }).click();
    await page.getByRole("button", { name: "Suspend", exact: true }).click();
    await expect(page.getByText("all of its keys are invalid")).toBeVisible();
    await page.getByRole("button", { name: "Resume organization" }).click();
    await page.getByRole("button", { name: "Resume", exact: true }).click();
    await expect(page.getByRole("region", { name: "General" })).toContainText("Active");
  });

  await journey(page, "delete and restore", async () => {
    await page.getByRole("button", { name: "Delete organization" }).click();
    const confirm = page.getByRole("dialog").getByRole("button", { name: "Delete organization" });
    await page.getByLabel("to confirm").fill(name);
    await expect(confirm).toBeDisabled();
    await page.getByLabel("to confirm").fill(`${name} 2`);
    await isAccessible(page);
    await confirm.click();
    await expect(page.getByRole("heading", { level: 1, name: "Organizations" })).toBeVisible();
    await page.getByLabel("Deleted").check();
    await page.getByLabel("Search by name").fill(`${name} 2`);
    await page.getByRole("button", { name: `Restore ${name} 2` }).click();
    await expect(page.getByText(`${name} 2 is restored`)).toBeVisible();
  });
});

test("the operator reads the totals, the largest organizations, the version and the health", async ({ page }) => {
  const tenant = await signUp("Large");
  await tenant.createKeys(Array.from({ length: 1_000 }, (_, n) => ({ name: `k${n}`, permissions: [] })));
  await signIn(page, operator(tenant.org));
  await journey(page, "totals", async () => {
    await page.getByRole("navigation", { name: "Platform" }).getByRole("link", { name: "Service" }).click();
    await expect(page.getByRole("heading", { level: 1, name: "Service" })).toBeVisible();
    await expect(page.getByRole("region", { name: "Totals" })).toContainText("Members");
    const about = page.getByRole("region", { name: "About this service" });
    await expect(about).toContainText(/Version\s*\d+\.\d+/);
    await expect(about).toContainText("Ready");
    await expect(about.getByRole("link", { name: "API reference" })).toHaveAttribute("href", /\/docs$/);
    const largest = page.getByRole("region", { name: "Most keys" });
    await expect(largest.getByRole("listitem").filter({ hasText: "Large" }).first()).toContainText(/[\d,]+ keys/);
  });
});

test("a member renames and deletes the organization", async ({ page }) => {
  const admin = await signUp("Pied Piper");
  await signIn(page, admin);
  await visit(page, admin, "organization", "Organization");
  await expect(page.getByRole("region", { name: "Maximum numbers" })).toContainText("Only the operator");
  await expect(page.getByRole("button", { name: "Suspend organization" })).toHaveCount(0);
  await expect(page.getByLabel("External id")).toHaveCount(0);
  await journey(page, "rename", async () => {
    await page.getByRole("region", { name: "General" }).getByLabel("Name", { exact: true }).fill("Hooli");
    await page.getByRole("region", { name: "General" }).getByRole("button", { name: "Save", exact: true }).click();
    await expect(page.getByRole("complementary", { name: "Menu" })).toContainText("Hooli");
  });
  await journey(page, "delete", async () => {
    await page.getByRole("button", { name: "Delete organization" }).click();
    await page.getByLabel("to confirm").fill("Hooli");
    await page.getByRole("dialog").getByRole("button", { name: "Delete organization" }).click();
    await expect(page.getByRole("dialog")).toContainText("The operator of the service can restore it until");
    await isAccessible(page);
    await page.getByRole("button", { name: "Continue" }).click();
    await expect(page.getByRole("heading", { name: "Sign in" })).toBeVisible();
  });
});

test("members do not see the pages of the operator", async ({ page }) => {
  const admin = await signUp();
  await signIn(page, admin);
  await expect(page.getByRole("navigation", { name: "Platform" })).toHaveCount(0);
  await page.goto("/#/service");
  await expect(page.getByText("Only the operator of the service can see this page")).toBeVisible();
});

for (const [size, viewport] of Object.entries(SIZES)) {
  for (const scheme of ["light", "dark"] as const) {
    test.describe(`${size}, ${scheme}`, () => {
      test.use({ viewport, colorScheme: scheme });
      test("the pages of the operator", async ({ page }) => {
        const tenant = await signUp("Acme Corporation of the Northern Hemisphere, Limited");
        await signIn(page, operator(tenant.org));
        for (const [path, title] of [
          ["/#/organizations", "Organizations"],
          ["/#/service", "Service"],
          [tenant.path("organization"), "Organization"],
        ] as const) {
          await page.goto(path);
          await expect(page.getByRole("heading", { level: 1, name: title })).toBeVisible();
          await settled(page);
          await isAccessible(page);
          await picture(page, `operator-${size}-${scheme}-${title.toLowerCase()}`);
        }
      });
    });
  }
}
