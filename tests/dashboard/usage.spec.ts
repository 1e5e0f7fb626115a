// Usage: the comparison with the period before, the keys behind refusals, small charts in the list of keys, and first steps.

import { execFileSync } from "node:child_process";
import { expect, isAccessible, picture, settled, signIn, test, visit } from "./browser.ts";
import { type Caller, sampleOrganization, signUp } from "./service.ts";

/** Waits until the service has stored the counts of verifications. */
async function counted(admin: Caller, total: number): Promise<void> {
  await expect
    .poll(async () => {
      const usage = await admin.call<{ total: Record<string, number> }>("GET", `/orgs/${admin.org}/usage`);
      return Object.values(usage.total).reduce((sum, count) => sum + count, 0);
    })
    .toBe(total);
}

/** Replaces the usage of the organization in all periods that end before today. */
const EARLIER = { VALID: 4, RATE_LIMITED: 2 };

test("usage is compared with the period before", async ({ page }) => {
  const admin = await signUp();
  const { id, key } = await admin.createKey({ name: "busy", permissions: ["files:read"] });
  for (let use = 0; use < 5; use++) await admin.verify(key, ["files:read"]);
  await admin.verify(key, ["files:write"]);
  await counted(admin, 6);
  const asked: [string, string][] = [];
  // A test cannot verify keys a week ago, so the response for the period before is replaced.
  await page.route(
    (url) => url.pathname.endsWith("/usage") && url.searchParams.has("until"),
    async (route) => {
      const { searchParams } = new URL(route.request().url());
      asked.push([searchParams.get("from") ?? "", searchParams.get("until") ?? ""]);
      const answer = await route.fetch();
      await route.fulfill({ response: answer, json: { ...(await answer.json()), total: EARLIER } });
    },
  );
  await signIn(page, admin);
  for (const path of ["overview", `keys/${id}`]) {
    await visit(page, admin, path, path === "overview" ? "Overview" : "busy");
    const totals = page.getByRole("region", { name: "Totals" }).getByRole("paragraph");
    await expect(totals).toHaveText([
      "Valid525% more than in the 7 days before (4)",
      "Refused150% fewer than in the 7 days before (2)",
      "Share refused17%33% in the 7 days before",
    ]);
    await page.getByLabel("Period").selectOption("Last 30 days");
    await expect(totals.first()).toHaveText("Valid525% more than in the 30 days before (4)");
    await page.getByLabel("Period").selectOption("Today");
    await expect(totals.first()).toHaveText(/^Valid525% more than yesterday until \d\d:00 UTC \(4\)$/);
    await settled(page);
    await isAccessible(page);
  }
  for (const [from, until] of asked) {
    const length = (Date.parse(until) - Date.parse(from)) / 3_600_000;
    expect([0, 6 * 24, 29 * 24].some((days) => length > days && length <= days + 24)).toBe(true);
    expect(Date.parse(until)).toBeLessThan(Date.now());
  }
  await page.getByLabel("Period").selectOption("Last 90 days");
  await expect(page.getByRole("region", { name: "Totals" }).getByRole("paragraph").first()).toHaveText("Valid5");
});

test("a reason for refusals leads to the keys behind it", async ({ page }) => {
  const admin = await sampleOrganization();
  // 28 valid ones, five without the permission, one that has no uses left.
  await counted(admin, 34);
  await signIn(page, admin);
  await visit(page, admin, "overview", "Overview");
  const reasons = page.getByRole("region", { name: "Refusals by reason" });
  await expect(reasons.getByRole("button")).toHaveText(["Permission missing", "Used up"]);
  const reason = reasons.getByRole("button", { name: "Permission missing" });
  await expect(reason).toHaveAttribute("aria-expanded", "false");
  await reason.click();
  await expect(reason).toHaveAttribute("aria-expanded", "true");
  const keys = reasons.getByRole("region", { name: "Keys refused: Permission missing" }).getByRole("listitem");
  await expect(keys).toHaveCount(1);
  await expect(keys).toContainText("Mobile app");
  await expect(keys).toContainText("5 refused");
  await isAccessible(page);
  const top = page.getByRole("region", { name: "Most verifications" });
  await expect(top.getByRole("listitem").first()).toContainText("Mobile app");
  await expect(top.getByRole("listitem").first()).toContainText("14 valid");
  await top.getByRole("button", { name: "Owners" }).click();
  await expect(top.getByRole("listitem")).toHaveText([/^Organization/]);
  await top.getByRole("button", { name: "External ids" }).click();
  await expect(top.getByRole("listitem")).toHaveText([/^No external id/]);
  await keys.getByRole("link", { name: "Mobile app" }).click();
  await expect(page.getByRole("heading", { level: 1, name: "Mobile app" })).toBeVisible();
  await settled(page);
  const ofKey = page.getByRole("region", { name: "Refusals by reason" });
  await expect(ofKey.getByRole("listitem")).toHaveText(["Permission missing5"]);
  await expect(ofKey.getByRole("button")).toHaveCount(0);
});

test("too many keys to compare are said so, with a way on", async ({ page }) => {
  const admin = await sampleOrganization();
  await counted(admin, 34);
  await page.route(
    (url) => url.pathname.endsWith("/usage/top"),
    (route) => {
      const fields = { from: "begins a period in which more than 1000000 counts of keys would have to be added up" };
      const json = { reason: "invalid_fields", message: "Invalid", fields, request_id: "one" };
      return route.fulfill({ status: 400, json });
    },
  );
  await signIn(page, admin);
  await visit(page, admin, "overview", "Overview");
  const top = page.getByRole("region", { name: "Most verifications" });
  await expect(top).toContainText("Too many keys were used in this period");
  await top.getByRole("link").click();
  await expect(page.locator("tbody .key-name").first()).toHaveText("Mobile app");
});

test("the list of keys has a small chart for each key, from one request", async ({ page, recorded }) => {
  const admin = await sampleOrganization();
  await counted(admin, 34);
  await page.setViewportSize({ width: 1440, height: 900 });
  await signIn(page, admin);
  await visit(page, admin, "keys", "Keys");
  const row = (name: string) => page.getByRole("row").filter({ hasText: name });
  await expect(row("Mobile app").getByRole("img")).toHaveAccessibleName(
    "19 verifications in the last 7 days (UTC), valid and refused. By day: 0; 0; 0; 0; 0; 0; 19",
  );
  await expect(row("Root for scripts").getByRole("img")).toHaveCount(0);
  await expect(row("Root for scripts")).toContainText("none");
  const requests = recorded.requests.filter((url) => url.includes("/usage"));
  expect(requests).toHaveLength(1);
  await isAccessible(page);
  await picture(page, "usage-keys");
  await page.setViewportSize({ width: 1024, height: 768 });
  await expect(page.getByRole("columnheader", { name: "Last 7 days" })).toBeHidden();
});

test("without verifications the overview says what to do first", async ({ page }) => {
  const admin = await signUp();
  await signIn(page, admin);
  await visit(page, admin, "overview", "Overview");
  const start = page.getByRole("region", { name: "Getting started" });
  await expect(start.getByRole("heading")).toHaveText("Create your first key");
  await expect(start.getByRole("listitem")).toHaveCount(3);
  await isAccessible(page);
  await picture(page, "usage-first-key");
  const { key } = await admin.createKey({ name: "first", can_manage: false });
  await page.reload();
  await expect(start.getByRole("heading")).toHaveText("No key has been verified yet");
  await expect(start.getByRole("listitem")).toHaveCount(2);
  await start.getByRole("button", { name: "Copy command" }).click();
  const command = await page.evaluate(() => navigator.clipboard.readText());
  expect(command).toContain(`${new URL(page.url()).origin}/api_keys/verify`);
  // The command works as it is shown.
  const service = await admin.createKey({ name: "service", permissions: ["api_keys:verify"], can_manage: true });
  const answer = execFileSync("bash", ["-c", command], {
    env: { ...process.env, SERVICE_KEY: service.key, KEY: key },
    encoding: "utf8",
  });
  expect(JSON.parse(answer)).toMatchObject({ valid: true });
  await counted(admin, 1);
  await page.reload();
  await expect(page.getByRole("region", { name: "Totals" })).toContainText("1");
  await expect(start).toBeHidden();
});

for (const colorScheme of ["light", "dark"] as const) {
  for (const width of [390, 1024, 1440, 1920]) {
    test.describe(`${width} px, ${colorScheme}`, () => {
      test.use({ viewport: { width, height: 900 }, colorScheme });
      test("charts", async ({ page }) => {
        const admin = await sampleOrganization();
        await counted(admin, 34);
        await signIn(page, admin);
        await visit(page, admin, "overview", "Overview");
        await page.getByRole("button", { name: "Permission missing" }).click();
        await expect(page.getByRole("img", { name: /^Verifications by hour/ })).toBeVisible();
        await settled(page);
        await isAccessible(page);
        await page.screenshot({
          path: `${process.env.CLAVIGER_PICTURES}/usage-${width}-${colorScheme}.png`,
          fullPage: true,
        });
      });
    });
  }
}
