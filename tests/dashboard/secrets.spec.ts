// A secret is shown once, and is then neither in the page, nor in the browser's storage, nor in an address.

import type { Page } from "@playwright/test";
import { expect, signIn, test } from "./browser.ts";
import { signUp } from "./service.ts";

/** Everything that a script can read in the page and in the browser's storage. */
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

test("no secret remains after it was shown, typed or verified", async ({ page, recorded }) => {
  const admin = await signUp();
  await signIn(page, admin);
  expect(await everything(page), "the secret typed to sign in").not.toContain(admin.key);
  await page.getByRole("link", { name: "Create key" }).click();
  await page.getByLabel("Name").fill("secretive");
  await page.getByRole("button", { name: "Create key" }).click();
  const secret = (await page.getByLabel("The new key").textContent()) ?? "";
  expect(secret).toHaveLength(53);
  await page.getByRole("button", { name: "I have stored it" }).click();
  await expect(page.getByRole("heading", { name: "secretive" })).toBeVisible();
  expect(await everything(page), "the new secret").not.toContain(secret);
  await page.goBack();
  await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
  expect(await everything(page), "after going back").not.toContain(secret);
  await page.goForward();
  await page.getByRole("button", { name: "Rotate" }).click();
  await page.getByRole("button", { name: "Rotate key" }).click();
  const next = (await page.getByLabel("The new key").textContent()) ?? "";
  await page.getByRole("button", { name: "I have stored it" }).click();
  await expect(page.getByRole("dialog")).toHaveCount(0);
  expect(await everything(page), "the rotated secret").not.toContain(next);
  await page.getByRole("navigation", { name: "Organization" }).getByRole("link", { name: "Try a key" }).click();
  await page.getByLabel("Key", { exact: true }).fill(next);
  await page.getByRole("button", { name: "Check key" }).click();
  await expect(page.getByText("The key is valid")).toBeVisible();
  expect(await everything(page), "the verified secret").not.toContain(next);
  await page.getByRole("navigation", { name: "Organization" }).getByRole("link", { name: "Keys", exact: true }).click();
  await page.getByLabel("Search keys").fill(next);
  await expect(page.getByLabel("Search keys"), "a secret must not get into the address").toHaveValue("");
  expect(await everything(page), "the secret typed to search").not.toContain(next);
  for (const text of [admin.key, secret, next]) {
    expect(
      recorded.requests.filter((url) => url.includes(text)),
      "in an address",
    ).toEqual([]);
  }
});

test("the content security policy is strict, and names are not interpreted as HTML", async ({ page }) => {
  const answer = await page.goto("/");
  const policy = answer?.headers()["content-security-policy"] ?? "";
  expect(policy).toContain("default-src 'none'");
  expect(policy).not.toContain("unsafe");
  // Names that look like HTML.
  const admin = await signUp("<b>Org</b>");
  await admin.createKey({ name: "<img src=x onerror=document.title='owned'>" });
  await signIn(page, admin);
  await expect(page.getByRole("link", { name: "<img src=x onerror=document.title='owned'>" })).toBeVisible();
  await expect(page.getByText("<b>Org</b>")).toBeVisible();
  expect(await page.title()).not.toBe("owned");
});
