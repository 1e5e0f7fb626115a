// Size and loading time.

import { expect, signIn, test } from "./browser.ts";
import { ORIGIN, signUp } from "./service.ts";

const MAX_BYTES = 300 * 1024;

test("all files are less than 300 KiB, compressed", async ({ page }) => {
  const admin = await signUp();
  const sizes = new Map<string, number>();
  page.on("response", async (response) => {
    const { pathname } = new URL(response.url());
    if (pathname === "/" || pathname.startsWith("/assets/")) {
      const { responseBodySize } = await response.request().sizes();
      // A file that the browser has cached is not sent again.
      sizes.set(pathname, Math.max(responseBodySize, sizes.get(pathname) ?? 0));
    }
  });
  await signIn(page, admin);
  const first = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  // The chart is loaded later, by pages with a chart.
  await page.goto(admin.path("overview"));
  await admin.verify(admin.key);
  await expect(async () => {
    await page.reload();
    await expect(page.getByRole("img", { name: /^Verifications by hour/ })).toBeVisible({ timeout: 1_000 });
  }).toPass();
  const all = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  console.log(
    `first screen ${(first / 1024).toFixed(0)} KiB, with the chart ${(all / 1024).toFixed(0)} KiB, compressed`,
  );
  expect([...sizes.keys()].filter((path) => path.endsWith(".js"))).toHaveLength(4);
  expect(all).toBeLessThan(MAX_BYTES);
});

test("time to the first contentful paint", async ({ browser }) => {
  const times: number[] = [];
  for (let run = 0; run < 5; run++) {
    const page = await browser.newPage();
    await page.goto(ORIGIN);
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    await page.waitForFunction(() => performance.getEntriesByName("first-contentful-paint").length > 0);
    times.push(
      await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? Number.NaN),
    );
    await page.close();
  }
  times.sort((left, right) => left - right);
  console.log(
    `first contentful paint: median ${times[2]?.toFixed(0)} ms of ${times.map((time) => time.toFixed(0)).join(", ")}`,
  );
  expect(times.every((time) => time > 0)).toBe(true);
});
