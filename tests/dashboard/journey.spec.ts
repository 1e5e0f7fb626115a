// The main tasks of a new user, from sign-up to a revoked key, each in at most 12 clicks.

import { clicks, expect, isAccessible, picture, settled, test } from "./browser.ts";
import { signUp } from "./service.ts";

const MAX_CLICKS = 12;

test("a new user creates, tries, rotates and revokes a key, and reads its audit events", async ({ page }) => {
  const admin = await signUp();
  const journey = async (name: string, walk: () => Promise<void>) => {
    const count = await clicks(page);
    await walk();
    await settled(page);
    const total = await count();
    console.log(`${name}: ${total} clicks`);
    expect(total, name).toBeLessThanOrEqual(MAX_CLICKS);
    await picture(page, `journey-${name.replaceAll(" ", "-")}`);
  };
  const menu = page.getByRole("navigation", { name: "Organization" });

  await page.goto("/");
  await picture(page, "journey-0-sign-in");
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
    const summary = page.getByRole("region", { name: "Summary" });
    await expect(summary).toContainText("Can read files");
    await expect(summary).toContainText("Can write files");
    await expect(summary).toContainText("100 per minute");
    await picture(page, "journey-2-form");
    await page.getByRole("button", { name: "Create key" }).click();
    await expect(page.getByText("You will not see this key again.")).toBeVisible();
    secret = (await page.getByLabel("The new key").textContent()) ?? "";
    expect(secret).toMatch(/^cvg_[0-9A-Za-z]{49}$/);
    await page.getByRole("button", { name: "Copy key" }).click();
    await expect(page.getByRole("button", { name: "Copied" })).toBeVisible();
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(secret);
    await isAccessible(page);
    await picture(page, "journey-2-secret");
    await page.getByRole("button", { name: "I have stored it" }).click();
    await expect(page.getByRole("heading", { name: "Mobile app" })).toBeVisible();
  });
  expect(await admin.verify(secret, ["files:read"])).toBe("VALID");

  await journey("3 try", async () => {
    await menu.getByRole("link", { name: "Try a key" }).click();
    await page.getByLabel("Key", { exact: true }).fill(secret);
    await page.getByLabel("Required permissions").fill("files:delete");
    await page.getByRole("button", { name: "Check key" }).click();
    await expect(page.getByText("The key is not valid: it lacks a permission")).toBeVisible();
    await expect(page.getByText("It lacks files:delete.")).toBeVisible();
    await page.getByLabel("Required permissions").fill("files:read");
    await page.getByRole("button", { name: "Check key" }).click();
    await expect(page.getByText("The key is valid")).toBeVisible();
  });

  let next = "";
  await journey("4 rotate", async () => {
    await page.getByRole("link", { name: "Mobile app" }).click();
    await page.getByRole("button", { name: "Rotate" }).click();
    await page.getByLabel("7 days").check();
    await picture(page, "journey-4-grace-period");
    await page.getByRole("button", { name: "Rotate key" }).click();
    next = (await page.getByLabel("The new key").textContent()) ?? "";
    await page.getByRole("button", { name: "I have stored it" }).click();
    await expect(page.getByText("It has not been used since the rotation.")).toBeVisible();
    expect(await admin.verify(secret)).toBe("VALID");
    await expect(page.getByText("Previous secret last used just now")).toBeVisible();
  });
  expect(next).not.toBe(secret);

  await journey("5 audit events", async () => {
    await page.getByRole("link", { name: "Activity" }).click();
    const rows = page.getByRole("row");
    await expect(rows.filter({ hasText: "Rotated key" })).toContainText("Ada Lovelace");
    await expect(rows.filter({ hasText: "Created key" })).toContainText("127.0.0.1");
  });

  await journey("6 revoke", async () => {
    await page.getByRole("button", { name: "Revoke" }).click();
    await expect(page.getByRole("dialog")).toContainText("Mobile app was last used just now.");
    await expect(page.getByRole("dialog")).toContainText(/(once|times) in total/);
    await picture(page, "journey-6-impact");
    await page.getByRole("button", { name: "Revoke key" }).click();
    await expect(page.getByText("Mobile app is revoked.")).toBeVisible();
    await expect(page.getByRole("link", { name: "Mobile app" })).toHaveCount(0);
  });
  expect(await admin.verify(next)).toBe("INVALID_API_KEY");
});
