// Helpers for all tests: signing in by the page, counting clicks, pictures, and checks that every page must pass.

import { join } from "node:path";
import AxeBuilder from "@axe-core/playwright";
import { test as base, expect, type Page } from "@playwright/test";
import { type Caller, ORIGIN } from "./service.ts";

export { expect };

/** The folder for pictures. */
export const PICTURES = process.env.CLAVIGER_PICTURES ?? "results/pictures";

/** A test that records the requests of its page, and the errors that the browser reports. */
export const test = base.extend<{ recorded: { requests: string[]; errors: string[] } }>({
  recorded: [
    async ({ page }, use) => {
      const recorded = { requests: [] as string[], errors: [] as string[] };
      page.on("request", (request) => recorded.requests.push(request.url()));
      page.on("pageerror", (error) => recorded.errors.push(error.message));
      page.on("console", (message) => {
        // Browsers also report each response with an error status; tests check those themselves.
        const isResponse = message.text().startsWith("Failed to load resource");
        if (message.type() === "error" && !isResponse) recorded.errors.push(message.text());
      });
      await use(recorded);
      // In every test: no other origins, no violation of the content security policy, no exception.
      const foreign = recorded.requests.filter((url) => !url.startsWith(`${ORIGIN}/`) && !url.startsWith("blob:"));
      expect(foreign, "requests to other origins").toEqual([]);
      expect(recorded.errors, "errors that the browser reported").toEqual([]);
    },
    { auto: true },
  ],
});

/** Signs in on the sign-in page. */
export async function signIn(page: Page, caller: Caller): Promise<void> {
  await page.goto("/");
  await page.getByLabel("API key or token").fill(caller.key);
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page.getByRole("button", { name: "Sign out", exact: true, includeHidden: true })).toBeAttached();
}

/** Opens a page of an organization. */
export async function visit(page: Page, caller: Caller, path: string, title: string): Promise<void> {
  await page.goto(caller.path(path));
  await expect(page.getByRole("heading", { level: 1, name: title })).toBeVisible();
  await settled(page);
}

/** Waits until nothing is loading. */
export async function settled(page: Page): Promise<void> {
  await expect(page.locator(".skeleton")).toHaveCount(0);
  await expect(page.locator("[aria-busy=true]")).toHaveCount(0);
}

/** Counts clicks, and choices in drop-down lists, from now on. */
export async function clicks(page: Page): Promise<() => Promise<number>> {
  const count = () => page.evaluate(() => Number(document.documentElement.dataset.clicks));
  await page.evaluate(() => {
    const counter = document.documentElement.dataset;
    const isCounting = counter.clicks !== undefined;
    counter.clicks = "0";
    if (isCounting) return;
    const increment = () => {
      counter.clicks = String(Number(counter.clicks) + 1);
    };
    addEventListener("pointerdown", increment, true);
    addEventListener("change", (event) => event.target instanceof HTMLSelectElement && increment(), true);
  });
  return count;
}

/** The most clicks that a task may take. */
export const MAX_CLICKS = 12;

/** Carries out a task, in at most 12 clicks, and checks the page that it ends at. */
export async function journey(page: Page, name: string, walk: () => Promise<void>): Promise<void> {
  const count = await clicks(page);
  await walk();
  await settled(page);
  expect(await count(), name).toBeLessThanOrEqual(MAX_CLICKS);
  await isAccessible(page);
}

/** Takes a picture of the visible part of the page. */
export async function picture(page: Page, name: string): Promise<void> {
  await page.screenshot({ path: join(PICTURES, `${name}.png`), animations: "disabled" });
}

/** Checks that axe finds no serious problem, and that the page is not wider than the screen. */
export async function isAccessible(page: Page): Promise<void> {
  const { violations } = await new AxeBuilder({ page })
    .withTags(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"])
    .analyze();
  const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  expect(serious.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`)).toEqual([]);
  const overflow = await page.evaluate(
    () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
  );
  expect(overflow, "pixels wider than the screen").toBeLessThanOrEqual(0);
}
