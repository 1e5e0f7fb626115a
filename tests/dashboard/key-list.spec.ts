// The key list: searching, columns to sort by, totals and page sizes, actions on one key, export, and small screens.

import { readFileSync } from "node:fs";
import type { Page } from "@playwright/test";
import { expect, isAccessible, picture, settled, signIn, test, visit } from "./browser.ts";
import { type Caller, sampleOrganization, signUp } from "./service.ts";

const names = async (page: Page) => {
  await settled(page);
  return page.locator("tbody .key-name").allTextContents();
};

test("the texts of the column headers are on one line", async ({ page }) => {
  const admin = await signUp();
  await admin.createKey({ name: "one" });
  await signIn(page, admin);
  await visit(page, admin, "keys", "Keys");
  const tops = await page.locator("thead th:visible").evaluateAll((headers) =>
    headers.flatMap((header) => {
      const texts = document.createTreeWalker(header, NodeFilter.SHOW_TEXT);
      const found: number[] = [];
      while (texts.nextNode() !== null) {
        const text = texts.currentNode;
        if (text.textContent?.trim() === "" || text.parentElement?.className === "visually-hidden") continue;
        const range = document.createRange();
        range.selectNodeContents(text);
        found.push(Math.round(range.getBoundingClientRect().top));
      }
      return found;
    }),
  );
  expect(tops.length).toBeGreaterThan(5);
  expect([...new Set(tops)]).toHaveLength(1);
});

test("one field searches names, ids, external ids and starts of secrets, and others filter", async ({ page }) => {
  const admin = await sampleOrganization();
  const { id } = await admin.createKey({
    name: "Zo\u00eb ships",
    external_id: "crm/17",
    metadata: { plan: "pro", seats: 5 },
  });
  const { start } = await admin.call<{ start: string }>("GET", `/orgs/${admin.org}/api_keys/${id}`);
  await signIn(page, admin);
  await settled(page);
  const search = page.getByLabel("Search keys");
  for (const text of ["ZO\u00cb", id, "crm/17", start, "zo\u00eb s"]) {
    await search.fill(text);
    await expect.poll(() => names(page), text).toEqual(["Zo\u00eb ships"]);
  }
  await expect(page.getByText("1 key matches the filters")).toBeVisible();
  await search.fill("");
  await page.getByLabel("Metadata").fill("plan=pro, seats=5");
  await expect.poll(() => names(page)).toEqual(["Zo\u00eb ships"]);
  await page.getByLabel("Metadata").fill("plan");
  await expect(page.getByRole("alert")).toContainText("use name=value");
  await page.getByLabel("Metadata").fill("");
  await page.getByLabel("Permission set").selectOption("readers");
  await expect.poll(() => names(page)).toEqual(["Billing worker"]);
  await page.getByRole("link", { name: "Billing worker" }).click();
  await expect(page.getByRole("heading", { name: "Billing worker" })).toBeVisible();
  await page.getByRole("link", { name: "All keys" }).click();
  await expect(page.getByLabel("Permission set"), "the way back keeps the filters").not.toHaveValue("");
  await expect.poll(() => names(page)).toEqual(["Billing worker"]);
});

test("typing in the search is one request, and a whole secret is not searched for but can be tried", async ({
  page,
  recorded,
}) => {
  const admin = await signUp();
  const longId = `tenant-${"7".repeat(40)}`;
  const { key } = await admin.createKey({ name: "customer 7", external_id: longId });
  await signIn(page, admin);
  await settled(page);
  const lists = () => recorded.requests.filter((url) => /\/orgs\/[^/]+\/api_keys\?/.test(url));
  const before = lists().length;
  await page.getByLabel("Search keys").pressSequentially("customer");
  await expect.poll(() => names(page)).toEqual(["customer 7"]);
  // The page and the number of keys, once each.
  expect(
    lists()
      .slice(before)
      .every((url) => url.includes("search=customer")),
    "no request for a part",
  ).toBe(true);
  // A long external id looks like a secret, too.
  await page.getByLabel("Search keys").fill(longId);
  await expect(page.getByLabel("Search keys")).toHaveValue("");
  await page.getByRole("button", { name: "Search for it anyway" }).click();
  await expect(page.getByLabel("Search keys")).toHaveValue(longId);
  await expect(page.getByText("That looks like a whole secret.")).toHaveCount(0);
  await expect.poll(() => names(page)).toEqual(["customer 7"]);
  await page.getByLabel("Search keys").fill(`"${key}"`);
  await expect(page.getByLabel("Search keys")).toHaveValue("");
  await expect(page.getByText("That looks like a whole secret.")).toBeVisible();
  await isAccessible(page);
  await page.getByRole("button", { name: "Try this key" }).click();
  await expect(page.getByText("Using the key that you pasted.")).toBeVisible();
  await page.getByRole("button", { name: "Check key" }).click();
  await expect(page.getByText("The key is valid")).toBeVisible();
  expect(
    recorded.requests.filter((url) => url.includes(key)),
    "in an address",
  ).toEqual([]);
});

test("columns sort, totals are shown, and the page size is chosen", async ({ page }) => {
  const admin = await signUp();
  const number = (n: number) => String(n).padStart(3, "0");
  await admin.createKeys(Array.from({ length: 119 }, (_, n) => ({ name: `key ${number(n)}`, permissions: [] })));
  await signIn(page, admin);
  await expect(page.getByText("120 keys", { exact: true })).toBeVisible();
  const column = (name: string) => page.getByRole("columnheader", { name });
  const sort = (name: string) => column(name).getByRole("button").click();
  await sort("Name");
  await expect.poll(async () => (await names(page)).slice(0, 2)).toEqual(["Unnamed key", "key 000"]);
  await expect(column("Name")).toHaveAttribute("aria-sort", "ascending");
  await sort("Name");
  await expect.poll(async () => (await names(page))[0]).toBe("key 118");
  await expect(column("Name")).toHaveAttribute("aria-sort", "descending");
  await expect(page.getByText("Page 1 of 3")).toBeVisible();
  await page.getByLabel("Keys on a page").selectOption("100 per page");
  await expect.poll(async () => (await names(page)).length).toBe(100);
  await expect(page.getByText("Page 1 of 2")).toBeVisible();
  await page.getByRole("button", { name: "Next" }).click();
  await expect.poll(async () => (await names(page)).length).toBe(20);
  // A page that was opened by its address does not claim to be the first.
  const address = page.url();
  const other = await page.context().newPage();
  await other.goto(address);
  await expect.poll(async () => (await names(other)).length).toBe(20);
  await expect(other.getByText(/^Page 1/)).toHaveCount(0);
  await other.close();
  expect(address).toContain("size=100");
});

test("a key is rotated, disabled and revoked from its row", async ({ page }) => {
  const admin = await signUp();
  const { id, key } = await admin.createKey({ name: "by row" });
  await signIn(page, admin);
  const act = async (name: string) => {
    await page.getByRole("button", { name: "Actions on by row" }).click();
    await isAccessible(page);
    await page.getByRole("button", { name, exact: true }).click();
  };
  await act("Copy id");
  await expect(page.getByText("The id is copied.")).toBeVisible();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(id);
  await page.getByRole("button", { name: "Actions on by row" }).click();
  await picture(page, "key-menu");
  await page.keyboard.press("Escape");
  await expect(page.getByRole("button", { name: "Copy id" })).toBeHidden();
  await act("Disable");
  await page.getByRole("button", { name: "Disable key" }).click();
  await expect(page.getByText("by row is disabled.")).toBeVisible();
  expect(await admin.verify(key)).toBe("KEY_DISABLED");
  await act("Revoke");
  await page.getByRole("button", { name: "Revoke key" }).click();
  await expect(page.getByText("by row is revoked.")).toBeVisible();
  await expect(page.getByRole("link", { name: "by row" })).toHaveCount(0);
});

test("the keys of a list are exported, without their secrets", async ({ page }) => {
  const admin = await sampleOrganization();
  const { key } = await admin.createKey({ name: "=1+1", metadata: { plan: "pro" } });
  await signIn(page, admin);
  await page.getByLabel("Purpose").selectOption("Managing Claviger");
  await settled(page);
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("button", { name: "Export CSV" }).click(),
  ]);
  const text = readFileSync(await download.path(), "utf8");
  const lines = text.trimEnd().split("\r\n");
  expect(lines[0]).toMatch(/^id,name,description,status,start,external_id,/);
  expect(lines.slice(1).map((line) => line.split(",")[1])).toEqual(["'=1+1", "Root for scripts", "Old importer", ""]);
  expect(lines[1]).toContain('"{""plan"":""pro""}"');
  expect(text).not.toContain(key);
});

/** The widths at which pictures are taken: a phone, a tablet, a laptop and a wide screen. */
const WIDTHS = { 390: 844, 1024: 768, 1440: 900, 1920: 1080 };

for (const [width, height] of Object.entries(WIDTHS)) {
  for (const scheme of ["light", "dark"] as const) {
    test.describe(`${width} px, ${scheme}`, () => {
      test.use({ viewport: { width: Number(width), height }, colorScheme: scheme });
      test("rows have one line on a desktop, and nothing is cut off", async ({ page }) => {
        const admin = await crowdedOrganization();
        await signIn(page, admin);
        await settled(page);
        await picture(page, `keys-${width}-${scheme}`);
        await isAccessible(page);
        const heights = await page.locator("tbody tr").evaluateAll((rows) => rows.map((row) => row.clientHeight));
        if (width === "390") {
          expect(Math.max(...heights), "five keys on a screen").toBeLessThan(125);
          await page.getByRole("checkbox", { name: "Select all on this page" }).check();
          await expect(page.getByRole("region", { name: "Selected keys" })).toContainText("keys selected");
          await page.getByRole("button", { name: "More filters" }).click();
          await page.getByLabel("Sort").selectOption("Name, A to Z");
          await expect.poll(async () => (await names(page))[0]).toBe("Unnamed key");
          await picture(page, `keys-${width}-${scheme}-filters`);
        } else {
          expect(Math.max(...heights), "one line").toBeLessThan(46);
          const table = page.locator(".table-scroll");
          expect(await table.evaluate((box) => box.scrollWidth - box.clientWidth), "cut off").toBeLessThanOrEqual(0);
        }
      });
    });
  }
}

/** The sample organization with long names and many permissions. */
async function crowdedOrganization(): Promise<Caller> {
  const admin = await sampleOrganization();
  await admin.createKey({
    name: `A name without any space: ${"x".repeat(60)}`,
    description: "The key of the nightly job that writes reports for all customers of the north",
    permissions: ["files:read", "files:write", "files:list", "invoices:read", "reports:write", "orders:*"],
    expires_at: new Date(Date.now() + 400 * 86_400_000).toISOString(),
  });
  const member = await admin.call<{ user_id: string }[]>("GET", `/orgs/${admin.org}/members`);
  await admin.createKeys(
    Array.from({ length: 14 }, (_, n) => ({
      name: `Customer ${n + 1}`,
      can_manage: false,
      permissions: ["files:read"],
    })),
  );
  expect(member.length).toBeGreaterThan(1);
  return admin;
}

test("a caller without permissions gets no menu of pages that would be refused", async ({ page }) => {
  const admin = await signUp();
  const { key } = await admin.createKey({ name: "nothing here", permissions: ["files:read"] });
  await signIn(page, { ...admin, key } as Caller);
  await expect(page.getByText("cannot list keys. It needs the permission api_keys:read")).toBeVisible();
  await expect(page.getByRole("navigation", { name: "Organization" }).getByRole("link")).toHaveCount(0);
  await page.goto("/#/orgs/0199f0c2-4d1e-7000-8000-000000000001/keys");
  await expect(page.getByRole("heading", { name: "Organization not found" })).toBeVisible();
  await expect(page.getByRole("navigation", { name: "Organization" })).toHaveCount(0);
  await isAccessible(page);
  await visit(page, admin, "try", "Try a key");
});
