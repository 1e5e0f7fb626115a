// The whole way of somebody who has never seen the page: from sign-up by curl to a revoked key, each journey in at most 12 clicks.

import { clicks, expect, isAccessible, picture, settled, test } from "./browser.ts";
import { signUp } from "./service.ts";

const MOST = 12;

test("a newcomer makes a key, tries it, rotates it, reads who did what, and revokes it", async ({ page }) => {
  const admin = await signUp();
  const journey = async (name: string, walk: () => Promise<void>) => {
    const count = await clicks(page);
    await walk();
    await settled(page);
    const counted = await count();
    console.log(`${name}: ${counted} clicks`);
    expect(counted, name).toBeLessThanOrEqual(MOST);
    await picture(page, `journey-${name.replaceAll(" ", "-")}`);
  };
  const menu = page.getByRole("navigation", { name: "Organization" });

  await page.goto("/");
  await picture(page, "journey-0-the-door");
  await journey("1 sign in", async () => {
    await page.getByLabel("API key or token").fill(admin.key);
    await page.getByRole("button", { name: "Sign in" }).click();
    await expect(page.getByRole("heading", { name: "Keys", exact: true })).toBeVisible();
  });

  let secret = "";
  await journey("2 create", async () => {
    await page.getByRole("link", { name: "Create key" }).click();
    await page.getByLabel("Name").fill("Mobile app");
    await page.getByLabel("Add a permission").fill("files:read files:write");
    await page.getByRole("button", { name: "Add", exact: true }).click();
    await page.getByLabel("Uses of the rate limit").fill("100");
    const summary = page.getByRole("region", { name: "What this key will be able to do" });
    await expect(summary).toContainText("Can read files");
    await expect(summary).toContainText("Can write files");
    await expect(summary).toContainText("at most 100 per minute");
    await picture(page, "journey-2-the-form");
    await page.getByRole("button", { name: "Create key" }).click();
    await expect(page.getByText("You will not see this key again.")).toBeVisible();
    secret = (await page.getByLabel("The new key").textContent()) ?? "";
    expect(secret).toMatch(/^cvg_[0-9A-Za-z]{49}$/);
    await page.getByRole("button", { name: "Copy key" }).click();
    await expect(page.getByRole("button", { name: "Copied" })).toBeVisible();
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(secret);
    await isAccessible(page);
    await picture(page, "journey-2-the-key-once");
    await page.getByRole("button", { name: "I have stored it" }).click();
    await expect(page.getByRole("heading", { name: "Mobile app" })).toBeVisible();
  });
  expect(await admin.verify(secret, ["files:read"])).toBe("VALID");

  await journey("3 try it", async () => {
    await menu.getByRole("link", { name: "Try a key" }).click();
    await page.getByLabel("Key", { exact: true }).fill(secret);
    await page.getByLabel("Permissions that are needed").fill("files:delete");
    await page.getByRole("button", { name: "Check key" }).click();
    await expect(page.getByText("The key is not good: it lacks a permission")).toBeVisible();
    await expect(page.getByText("It lacks files:delete.")).toBeVisible();
    await page.getByLabel("Permissions that are needed").fill("files:read");
    await page.getByRole("button", { name: "Check key" }).click();
    await expect(page.getByText("The key is good")).toBeVisible();
  });

  let next = "";
  await journey("4 rotate", async () => {
    await page.getByRole("link", { name: "Mobile app" }).click();
    await page.getByRole("button", { name: "Rotate" }).click();
    await page.getByLabel("7 days").check();
    await picture(page, "journey-4-the-grace-time");
    await page.getByRole("button", { name: "Rotate key" }).click();
    next = (await page.getByLabel("The new key").textContent()) ?? "";
    await page.getByRole("button", { name: "I have stored it" }).click();
    await expect(page.getByText("Nobody has used it since the rotation.")).toBeVisible();
    expect(await admin.verify(secret)).toBe("VALID");
    await expect(page.getByText("Old secret last used just now")).toBeVisible();
  });
  expect(next).not.toBe(secret);

  await journey("5 who did what", async () => {
    await page.getByRole("link", { name: "Activity" }).click();
    const rows = page.getByRole("row");
    await expect(rows.filter({ hasText: "Rotated key" })).toContainText("Ada Lovelace");
    await expect(rows.filter({ hasText: "Created key" })).toContainText("127.0.0.1");
  });

  await journey("6 revoke", async () => {
    await page.getByRole("button", { name: "Revoke" }).click();
    await expect(page.getByRole("dialog")).toContainText("Mobile app was last used just now.");
    await expect(page.getByRole("dialog")).toContainText(/(once|times) in all/);
    await picture(page, "journey-6-what-it-breaks");
    await page.getByRole("button", { name: "Revoke key" }).click();
    await expect(page.getByText("Mobile app is revoked.")).toBeVisible();
    await expect(page.getByRole("link", { name: "Mobile app" })).toHaveCount(0);
  });
  expect(await admin.verify(next)).toBe("INVALID_API_KEY");
});
