// The list of keys: filters, order, pages, and bulk operations.

import type { Page } from "@playwright/test";
import { expect, isAccessible, picture, settled, signIn, test, visit } from "./browser.ts";
import { sampleOrganization, signUp } from "./service.ts";

const names = async (page: Page) => {
  await settled(page);
  return page.locator("tbody .key-name").allTextContents();
};

test("every status is shown, and has a filter", async ({ page }) => {
  const admin = await sampleOrganization();
  await signIn(page, admin);
  await settled(page);
  const row = (name: string) => page.getByRole("row").filter({ hasText: name });
  for (const [name, status] of [
    ["Mobile app", "Active"],
    ["Partner: Initech", "Active"],
    ["Old importer", "Disabled"],
    ["Trial of Globex", "Used up"],
    ["Next year's batch", "Not yet valid"],
    ["Web shop", "Rotating"],
  ] as const) {
    await expect(row(name).getByText(status)).toBeVisible();
  }
  await expect(row("Billing worker")).toContainText("4,991 of 5,000 every day");
  await expect(row("Billing worker")).toContainText("readers");
  await expect(row("Partner: Initech"), "new, for 12 days").toContainText("in 12 days");
  await expect(row("Mobile app")).toContainText("just now");
  await expect(row("Mobile app").locator("td[data-label='Last used'] time")).toHaveAttribute("title", /Europe\/Berlin/);
  for (const [status, expected] of [
    ["Expiring within 30 days", ["Partner: Initech"]],
    ["Disabled", ["Old importer"]],
    ["Used up", ["Trial of Globex"]],
    ["Rotating", ["Web shop"]],
    ["Expired", []],
    ["Never used", ["Root for scripts", "Next year's batch", "Partner: Initech"]],
    ["All permissions, unused for 30 days", []],
  ] as const) {
    await page.getByLabel("Status").selectOption(status);
    await expect.poll(() => names(page), status).toEqual(expected);
  }
  await page.getByLabel("Status").selectOption("All");
  await page.getByLabel("Search keys").fill("WORKER");
  await expect.poll(() => names(page)).toEqual(["Billing worker"]);
  await page.getByLabel("Search keys").fill("");
  await page.getByLabel("Has permission").fill("orders:write");
  await expect.poll(() => names(page)).toEqual(["Root for scripts", "Web shop", "Old importer", "Unnamed key"]);
  await page.getByLabel("Owner").selectOption("Me");
  await expect.poll(() => names(page)).toEqual(["Unnamed key"]);
  await page.getByLabel("Has permission").fill("orders:");
  await expect(page.getByRole("alert")).toContainText("is not a valid permission");
  await page.getByLabel("Search keys").fill("no such name");
  await page.getByLabel("Has permission").fill("orders:write");
  await page.getByRole("button", { name: "Show all keys" }).click();
  await expect(page.getByLabel("Search keys")).toHaveValue("");
  await page.getByRole("button", { name: "Uses", exact: true }).click();
  await expect.poll(async () => (await names(page)).slice(0, 2)).toEqual(["Mobile app", "Billing worker"]);
  expect(page.url(), "the filters are in the address").toContain("sort=-request_count");
});

test("Next and Previous go through all pages", async ({ page }) => {
  const admin = await signUp();
  await admin.createKeys(
    Array.from({ length: 120 }, (_, n) => ({ name: `key ${String(n).padStart(3, "0")}`, permissions: [] })),
  );
  await signIn(page, admin);
  await page.getByRole("button", { name: "Name", exact: true }).click();
  const seen: string[] = [];
  for (const size of [50, 50, 21]) {
    await expect.poll(async () => (await names(page)).length).toBe(size);
    seen.push(...(await names(page)));
    const next = page.getByRole("button", { name: "Next" });
    if (await next.isEnabled()) {
      const first = seen.at(-50);
      await next.click();
      await expect(page.getByRole("link", { name: first, exact: true })).toHaveCount(0);
    }
  }
  expect(seen.toSorted()).toEqual(seen.filter((name, place) => seen.indexOf(name) === place).toSorted());
  expect(seen).toHaveLength(121);
  await page.getByRole("button", { name: "Previous" }).click();
  await expect.poll(async () => (await names(page))[0]).toBe("key 049");
  await page.reload();
  await expect.poll(async () => (await names(page))[0], "the page is in the address").toBe("key 049");
  await page.getByRole("button", { name: "Previous" }).click();
  await expect(page.getByText("Page 1")).toBeVisible();
});

test("selected keys are disabled and revoked after a confirmation that shows their use", async ({ page }) => {
  const admin = await signUp();
  const created = await admin.createKeys(
    ["a", "b", "c", "d"].map((name) => ({ name: `batch ${name}`, permissions: [] })),
  );
  for (const { key } of created.slice(0, 2)) await admin.verify(key);
  await signIn(page, admin);
  await expect(page.getByRole("link", { name: "batch a" })).toBeVisible();
  await expect
    .poll(async () => {
      await page.reload();
      await settled(page);
      return page.locator("td[data-label='Last used']").filter({ hasText: "just now" }).count();
    })
    .toBe(3);
  for (const name of ["batch a", "batch b", "batch c"]) await page.getByLabel(`Select ${name}`).check();
  const bar = page.getByRole("region", { name: "Selected keys" });
  await expect(bar).toContainText("3 keys selected");
  await bar.getByRole("button", { name: "Disable" }).click();
  await expect(page.getByRole("dialog")).toContainText("2 of them were used in the last day:");
  await isAccessible(page);
  await picture(page, "bulk-disable");
  await page.getByRole("button", { name: "Disable 3 keys" }).click();
  await expect(page.getByText("3 keys disabled.")).toBeVisible();
  await expect(page.getByRole("row").filter({ hasText: "Disabled" })).toHaveCount(3);
  expect(await admin.verify(created[0]?.key ?? "")).toBe("KEY_DISABLED");
  // Changing a filter clears the selection.
  await page.getByLabel("Select batch a").check();
  await page.getByLabel("Search keys").fill("batch");
  await expect(bar).toHaveCount(0);
  for (const name of ["batch c", "batch d"]) await page.getByLabel(`Select ${name}`).check();
  await bar.getByRole("button", { name: "Revoke" }).click();
  await expect(page.getByRole("dialog")).toContainText("None of them was used in the last day.");
  await page.getByRole("button", { name: "Revoke 2 keys" }).click();
  await expect(page.getByText("2 keys revoked.")).toBeVisible();
  await expect(page.getByRole("link", { name: "batch c" })).toHaveCount(0);
  expect(await admin.verify(created[3]?.key ?? "")).toBe("INVALID_API_KEY");
});

test("a revoked key is restored, and is disabled", async ({ page }) => {
  const admin = await signUp();
  const { id, key } = await admin.createKey({ name: "lost and found" });
  await admin.call("DELETE", `/orgs/${admin.org}/api_keys/${id}`);
  await signIn(page, admin);
  await page.goto(admin.path(`keys/${id}`));
  await expect(page.getByText("Revoked", { exact: true })).toBeVisible();
  await page.getByRole("button", { name: "Restore lost and found" }).click();
  await expect(page.getByRole("heading", { name: "lost and found" })).toBeVisible();
  await expect(page.getByText("Disabled", { exact: true })).toBeVisible();
  await page.getByRole("button", { name: "Enable" }).click();
  await page.getByRole("button", { name: "Enable key" }).click();
  await expect(page.getByText("Active", { exact: true })).toBeVisible();
  expect(await admin.verify(key)).toBe("VALID");
});

test("the first steps are shown until a key is created", async ({ page }) => {
  const admin = await signUp();
  await signIn(page, admin);
  await page.getByRole("region", { name: "First steps" }).getByRole("link", { name: "Create a key" }).click();
  await expect(page.getByRole("heading", { name: "Create a key" })).toBeVisible();
  await admin.createKey({ name: "first" });
  await visit(page, admin, "keys", "Keys");
  await page.reload();
  await expect(page.getByRole("link", { name: "first" })).toBeVisible();
  await expect(page.getByRole("region", { name: "First steps" })).toHaveCount(0);
});

test("a caller without write access can only read", async ({ page }) => {
  const admin = await signUp();
  const { key } = await admin.createKey({ name: "reader", permissions: ["api_keys:read"] });
  await signIn(page, { ...admin, key } as typeof admin);
  await expect(page.getByRole("link", { name: "Create key" }), "needs api_keys:write").toHaveCount(0);
  await expect(page.getByLabel("Select reader")).toHaveCount(0);
  await visit(page, admin, "keys?owner=none&search=x", "Keys");
  await expect(page.getByRole("heading", { name: "No keys match" })).toBeVisible();
  await isAccessible(page);
});
