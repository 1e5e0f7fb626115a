// A secret is seen where it is made, and then nowhere: not in the page, not in what the browser stores, not in an address.

import type { Page } from "@playwright/test";
import { expect, signIn, test } from "./browser.ts";
import { signUp } from "./service.ts";

/** All that the page and the browser hold for scripts to find. */
async function everything(page: Page): Promise<string> {
  return page.evaluate(async () => {
    const fields = [...document.querySelectorAll("input, textarea")].map((field) => (field as HTMLInputElement).value);
    const stores = [JSON.stringify({ ...localStorage }), JSON.stringify({ ...sessionStorage }), document.cookie];
    const databases = JSON.stringify(await indexedDB.databases());
    const caches_ = JSON.stringify(await caches.keys());
    const state = JSON.stringify(history.state);
    return [document.documentElement.outerHTML, ...fields, ...stores, databases, caches_, state, location.href].join(
      "\n",
    );
  });
}

test("no secret stays after it was shown, typed, or tried", async ({ page, watched }) => {
  const admin = await signUp();
  await signIn(page, admin);
  expect(await everything(page), "what was typed at the door").not.toContain(admin.key);
  await page.getByRole("link", { name: "Create key" }).click();
  await page.getByLabel("Name").fill("secretive");
  await page.getByRole("button", { name: "Create key" }).click();
  const secret = (await page.getByLabel("The new key").textContent()) ?? "";
  expect(secret).toHaveLength(53);
  await page.getByRole("button", { name: "I have stored it" }).click();
  await expect(page.getByRole("heading", { name: "secretive" })).toBeVisible();
  expect(await everything(page), "what was made").not.toContain(secret);
  await page.goBack();
  await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
  expect(await everything(page), "by the way back").not.toContain(secret);
  await page.goForward();
  await page.getByRole("button", { name: "Rotate" }).click();
  await page.getByRole("button", { name: "Rotate key" }).click();
  const next = (await page.getByLabel("The new key").textContent()) ?? "";
  await page.getByRole("button", { name: "I have stored it" }).click();
  await expect(page.getByRole("dialog")).toHaveCount(0);
  expect(await everything(page), "what was rotated").not.toContain(next);
  await page.getByRole("navigation", { name: "Organization" }).getByRole("link", { name: "Try a key" }).click();
  await page.getByLabel("Key", { exact: true }).fill(next);
  await page.getByRole("button", { name: "Check key" }).click();
  await expect(page.getByText("The key is good")).toBeVisible();
  expect(await everything(page), "what was tried").not.toContain(next);
  await page.getByRole("navigation", { name: "Organization" }).getByRole("link", { name: "Keys" }).click();
  await page.getByLabel("Search by name").fill(next);
  await expect(page.getByLabel("Search by name"), "no address takes the text of a key").toHaveValue("");
  expect(await everything(page), "what was searched for").not.toContain(next);
  for (const text of [admin.key, secret, next]) {
    expect(
      watched.requests.filter((url) => url.includes(text)),
      "in an address",
    ).toEqual([]);
  }
});

test("the page is allowed nothing from elsewhere, and no code from a text", async ({ page }) => {
  const answer = await page.goto("/");
  const policy = answer?.headers()["content-security-policy"] ?? "";
  expect(policy).toContain("default-src 'none'");
  expect(policy).not.toContain("unsafe");
  // A name is a text, whatever it looks like.
  const admin = await signUp("<b>Org</b>");
  await admin.make({ name: "<img src=x onerror=document.title='owned'>" });
  await signIn(page, admin);
  await expect(page.getByRole("link", { name: "<img src=x onerror=document.title='owned'>" })).toBeVisible();
  await expect(page.getByText("<b>Org</b>")).toBeVisible();
  expect(await page.title()).not.toBe("owned");
});
