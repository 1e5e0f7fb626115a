// Use with the keyboard alone.

import type { Page } from "@playwright/test";
import { expect, signIn, test, visit } from "./browser.ts";
import { signUp } from "./service.ts";

/** Presses Tab until an element with this name has the focus, and checks that the focus is visible. */
async function tabTo(page: Page, name: string | RegExp): Promise<void> {
  for (let step = 0; step < 120; step++) {
    await page.keyboard.press("Tab");
    const focused = page.locator(":focus");
    if ((await focused.count()) === 0) continue;
    const matches = await focused
      .and(page.getByRole("button", { name }).or(page.getByRole("link", { name })).or(page.getByLabel(name)))
      .count();
    if (matches === 0) continue;
    const outline = await focused.evaluate((element) => getComputedStyle(element).outlineStyle);
    expect(outline, `the focus on ${name} is visible`).not.toBe("none");
    return;
  }
  throw new Error(`Tab did not reach ${name}`);
}

test("a key is created with the keyboard alone", async ({ page }) => {
  const admin = await signUp();
  await page.goto("/");
  await expect(page.getByLabel("API key or token")).toBeFocused();
  await page.keyboard.type(admin.key);
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { name: "Keys", exact: true })).toBeFocused();
  await tabTo(page, "Create key");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { name: "Create a key" })).toBeFocused();
  await tabTo(page, "Name");
  await page.keyboard.type("By hand");
  await tabTo(page, "Add a permission");
  await page.keyboard.type("files:read");
  await page.keyboard.press("Enter");
  await tabTo(page, "30 days");
  await page.keyboard.press("Space");
  await tabTo(page, "Create key");
  await page.keyboard.press("Enter");
  await expect(page.getByText("You will not see this key again.")).toBeVisible();
  await expect(page.getByRole("dialog", { name: "By hand is ready" }), "success is announced").toBeVisible();
  await expect(page.getByRole("button", { name: "Copy key" })).toBeFocused();
  await tabTo(page, "I have stored it");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { name: "By hand" })).toBeFocused();
  await tabTo(page, "Revoke");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("dialog")).toBeVisible();
  // The focus stays in the dialog, and returns when it closes.
  for (let step = 0; step < 8; step++) {
    await page.keyboard.press("Tab");
    const isOutside = await page.evaluate(() => {
      const { activeElement } = document;
      return activeElement !== document.body && activeElement?.closest("dialog") === null;
    });
    expect(isOutside).toBe(false);
  }
  await page.keyboard.press("Escape");
  await expect(page.getByRole("dialog")).toHaveCount(0);
  await expect(page.getByRole("button", { name: "Revoke" })).toBeFocused();
});

test("the menu can be skipped", async ({ page }) => {
  const admin = await signUp();
  await signIn(page, admin);
  await visit(page, admin, "members", "Members");
  await page.reload();
  await expect(page.getByRole("heading", { name: "Members" })).toBeVisible();
  await page.evaluate(() => (document.activeElement as HTMLElement | null)?.blur());
  await page.keyboard.press("Tab");
  await expect(page.getByRole("button", { name: "Skip to content" })).toBeVisible();
});
