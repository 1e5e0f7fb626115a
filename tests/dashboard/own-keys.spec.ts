// A member who can manage only their own keys: each task in at most 12 clicks, on three sizes of screen and in both themes.

import { expect, isAccessible, journey, picture, signIn, test, visit } from "./browser.ts";
import { Caller, signUp } from "./service.ts";

const SIZES = {
  phone: { width: 390, height: 844 },
  tablet: { width: 1024, height: 768 },
  wide: { width: 1920, height: 1080 },
};

/** An administrator, and a member with permissions for their own keys only, who has one key. */
async function organization(): Promise<{ admin: Caller; grace: Caller }> {
  const admin = await signUp();
  await admin.createKey({ name: "Of the organization", permissions: ["files:read"] });
  const { user_id } = await admin.call<{ user_id: string }>("POST", `/orgs/${admin.org}/members`, {
    user_name: "Grace Hopper",
    user_email: `grace-${admin.org}@example.com`,
    permissions: ["own_api_keys:read", "own_api_keys:write", "files:read", "files:write"],
  });
  const { key } = await admin.call<{ key: string }>("POST", "/api/auth/api-key/create", {
    userId: user_id,
    name: "Sign-in of Grace",
    permissions: { own_api_keys: ["read", "write"], files: ["read", "write"] },
  });
  return { admin, grace: new Caller(key, admin.org) };
}

test("a member creates, rotates, finds and revokes their own keys", async ({ page }) => {
  const { admin, grace } = await organization();
  await signIn(page, grace);
  await expect(page.getByRole("heading", { level: 1, name: "My keys" })).toBeVisible();
  await expect(page.getByRole("row")).toHaveCount(2);
  await expect(page.getByText("Of the organization")).toHaveCount(0);
  const menu = page.getByRole("navigation", { name: "Organization" });
  await expect(menu.getByRole("link", { name: "My keys" })).toHaveAttribute("aria-current", "page");
  await expect(menu.getByRole("link", { name: "Keys", exact: true })).toHaveCount(0);

  let secret = "";
  await journey(page, "create", async () => {
    await page.getByRole("link", { name: "Create key" }).click();
    await expect(page.getByText("The key belongs to you")).toBeVisible();
    await page.getByLabel("Name").fill("Laptop");
    await page.getByLabel("Add a permission").fill("files:read");
    await page.getByRole("button", { name: "Add", exact: true }).click();
    await isAccessible(page);
    await page.getByRole("button", { name: "Create key" }).click();
    secret = (await page.getByLabel("The new key").textContent()) ?? "";
    await page.getByRole("button", { name: "I have stored it" }).click();
    await expect(page.getByRole("heading", { name: "Laptop" })).toBeVisible();
  });
  expect(await admin.verify(secret, ["files:read"])).toBe("VALID");

  let next = "";
  await journey(page, "rotate", async () => {
    await page.getByRole("button", { name: "Rotate" }).click();
    await page.getByLabel("None: revoke it at once").check();
    await page.getByRole("button", { name: "Rotate key" }).click();
    next = (await page.getByLabel("The new key").textContent()) ?? "";
    await page.getByRole("button", { name: "I have stored it" }).click();
  });
  expect(await admin.verify(secret)).toBe("INVALID_API_KEY");

  await journey(page, "change and revoke", async () => {
    await page.getByRole("link", { name: "Settings", exact: true }).click();
    await page.getByLabel("Name").fill("Old laptop");
    await page.getByRole("button", { name: "Save changes" }).click();
    await expect(page.getByText("Saved. The changes apply immediately.")).toBeVisible();
    await page.getByRole("link", { name: "My keys" }).first().click();
    await page.getByLabel("Search keys").fill("old lap");
    await expect(page.getByRole("row")).toHaveCount(2);
    await page.getByRole("link", { name: "Old laptop" }).click();
    await page.getByRole("button", { name: "Revoke" }).click();
    await page.getByRole("button", { name: "Revoke key" }).click();
    await expect(page.getByText("Old laptop is revoked.")).toBeVisible();
  });
  expect(await admin.verify(next)).toBe("INVALID_API_KEY");

  await journey(page, "restore", async () => {
    await page.getByLabel("Status").selectOption("Revoked");
    await page.getByRole("button", { name: "Restore Old laptop" }).click();
    await expect(page.getByText("Old laptop is restored, but disabled.")).toBeVisible();
  });
  const [foreign] = await admin.call<{ id: string }[]>("GET", `/orgs/${admin.org}/api_keys?name=organization`);
  await page.goto(admin.path(`keys/${foreign?.id}`));
  await expect(page.getByRole("heading", { name: "Key not found" })).toBeVisible();
});

test("an administrator has keys of the organization and own keys", async ({ page }) => {
  const admin = await signUp();
  await signIn(page, admin);
  await expect(page.getByRole("heading", { name: "Keys", exact: true })).toBeVisible();
  await page.getByRole("navigation", { name: "Organization" }).getByRole("link", { name: "My keys" }).click();
  await page.getByRole("link", { name: "Create key" }).click();
  await page.getByLabel("Name").fill("Mine");
  await page.getByRole("button", { name: "Create key" }).click();
  await page.getByRole("button", { name: "I have stored it" }).click();
  await expect(page.getByRole("region", { name: "Permissions and limits" })).toContainText("Ada Lovelace (you)");
  const [mine] = await admin.call<{ user_id: string }[]>("GET", `/orgs/${admin.org}/api_keys?name=Mine`);
  expect(mine?.user_id).not.toBeNull();
});

for (const [size, viewport] of Object.entries(SIZES)) {
  for (const scheme of ["light", "dark"] as const) {
    test.describe(`${size}, ${scheme}`, () => {
      test.use({ viewport, colorScheme: scheme });
      test("the pages of own keys", async ({ page }) => {
        const { grace } = await organization();
        await signIn(page, grace);
        for (const [path, title] of [
          ["my-keys", "My keys"],
          ["my-keys/new", "Create a key"],
          ["my-keys?status=revoked", "My keys"],
        ] as const) {
          await visit(page, grace, path, title);
          await isAccessible(page);
          await picture(page, `own-keys-${size}-${scheme}-${path.replace(/\W/g, "-")}`);
        }
      });
    });
  }
}
