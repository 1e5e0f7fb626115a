// The key list with 100,000 keys.

import { expect, settled, signIn, test } from "./browser.ts";
import { signUp } from "./service.ts";

test.setTimeout(180_000);

test("100,000 keys are sorted, paged and searched", async ({ page }) => {
  const admin = await signUp("Many");
  for (let batch = 0; batch < 100; batch++) {
    const number = (n: number) => String(batch * 1_000 + n).padStart(6, "0");
    await admin.createKeys(Array.from({ length: 1_000 }, (_, n) => ({ name: `key ${number(n)}`, permissions: [] })));
  }
  await signIn(page, admin);
  const names = async () => {
    await settled(page);
    return page.locator("tbody .key-name").allTextContents();
  };
  await expect.poll(async () => (await names()).length).toBe(50);
  await expect(page.getByText("more than 10,000 keys")).toBeVisible();
  const sortBy = (column: string) => page.getByRole("button", { name: column, exact: true }).click();
  for (const [column, first] of [
    ["Name", /^Unnamed key$/],
    ["Name", /^key 099999$/],
    ["Expires", /^Unnamed key$/],
    ["Expires", /^key 099/],
    ["Uses", /^key 099/],
  ] as const) {
    await sortBy(column);
    await expect.poll(async () => (await names())[0], { message: column, timeout: 20_000 }).toMatch(first);
    expect(await names(), column).toHaveLength(50);
  }
  await sortBy("Name");
  for (const first of ["key 000049", "key 000099", "key 000149"]) {
    await page.getByRole("button", { name: "Next" }).click();
    await expect.poll(async () => (await names())[0], { timeout: 20_000 }).toBe(first);
  }
  await page.getByLabel("Search keys").fill("key 0777");
  await expect.poll(async () => (await names())[0], { timeout: 20_000 }).toBe("key 077700");
  await page.getByRole("button", { name: "Next" }).click();
  await expect.poll(async () => (await names()).at(-1), { timeout: 20_000 }).toBe("key 077799");
  await expect(page.getByRole("button", { name: "Next" })).toBeDisabled();
});
