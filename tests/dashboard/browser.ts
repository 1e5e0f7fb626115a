// What the journeys share: signing in as a person does, counting clicks, pictures, and what must hold on every screen.

import { join } from "node:path";
import AxeBuilder from "@axe-core/playwright";
import { test as base, expect, type Page } from "@playwright/test";
import { type Caller, ORIGIN } from "./service.ts";

export { expect };

/** Where pictures go. */
export const PICTURES = process.env.CLAVIGER_PICTURES ?? "results/pictures";

/** A page that notes what it asked for, and what it complained about. */
export const test = base.extend<{ watched: { requests: string[]; complaints: string[] } }>({
  watched: [
    async ({ page }, use) => {
      const watched = { requests: [] as string[], complaints: [] as string[] };
      page.on("request", (request) => watched.requests.push(request.url()));
      page.on("pageerror", (error) => watched.complaints.push(error.message));
      page.on("console", (message) => {
        // An answer that is no success is noted by the browser, too; those are tested where they are wanted.
        const isAnswer = message.text().startsWith("Failed to load resource");
        if (message.type() === "error" && !isAnswer) watched.complaints.push(message.text());
      });
      await use(watched);
      // Of every test: nothing from elsewhere, no broken policy, no exception.
      const elsewhere = watched.requests.filter((url) => !url.startsWith(`${ORIGIN}/`) && !url.startsWith("blob:"));
      expect(elsewhere, "requests to other origins").toEqual([]);
      expect(watched.complaints, "what the browser complained about").toEqual([]);
    },
    { auto: true },
  ],
});

/** Signs in by the page. */
export async function signIn(page: Page, caller: Caller): Promise<void> {
  await page.goto("/");
  await page.getByLabel("API key or token").fill(caller.key);
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page.getByRole("button", { name: "Sign out", includeHidden: true })).toBeAttached();
}

/** Goes to a page of an organization. */
export async function visit(page: Page, caller: Caller, path: string, title: string): Promise<void> {
  await page.goto(caller.path(path));
  await expect(page.getByRole("heading", { level: 1, name: title })).toBeVisible();
  await settled(page);
}

/** Waits until nothing is being loaded. */
export async function settled(page: Page): Promise<void> {
  await expect(page.locator(".skeleton")).toHaveCount(0);
  await expect(page.locator("[aria-busy=true]")).toHaveCount(0);
}

/** Counts presses of the pointer, and choices in lists, from now on. */
export async function clicks(page: Page): Promise<() => Promise<number>> {
  const count = () => page.evaluate(() => Number(document.documentElement.dataset.clicks));
  await page.evaluate(() => {
    const counted = document.documentElement.dataset;
    const isCounting = counted.clicks !== undefined;
    counted.clicks = "0";
    if (isCounting) return;
    const more = () => {
      counted.clicks = String(Number(counted.clicks) + 1);
    };
    addEventListener("pointerdown", more, true);
    addEventListener("change", (event) => event.target instanceof HTMLSelectElement && more(), true);
  });
  return count;
}

/** A picture of what is seen. */
export async function picture(page: Page, name: string): Promise<void> {
  await page.screenshot({ path: join(PICTURES, `${name}.png`), animations: "disabled" });
}

/** Nothing serious for people who use the page without a mouse or without seeing it (axe), and nothing beside the screen. */
export async function isAccessible(page: Page): Promise<void> {
  const { violations } = await new AxeBuilder({ page })
    .withTags(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"])
    .analyze();
  const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  expect(serious.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`)).toEqual([]);
  const overflow = await page.evaluate(
    () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
  );
  expect(overflow, "pixels beside the screen").toBeLessThanOrEqual(0);
}
