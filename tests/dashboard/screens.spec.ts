// Every screen in light and dark, on a desktop and on a phone: a picture, nothing serious from axe, nothing beside the screen.

import { expect, isAccessible, picture, settled, signIn, test } from "./browser.ts";
import { type Caller, lively } from "./service.ts";

const SIZES = { desktop: { width: 1280, height: 860 }, phone: { width: 360, height: 740 } };

const SCREENS: [string, string][] = [
  ["overview", "Overview"],
  ["keys", "Keys"],
  ["keys/new", "Create a key"],
  ["try", "Try a key"],
  ["members", "Members"],
  ["sets", "Permission sets"],
  ["audit", "Audit log"],
];

let admin: Caller;
let key: string;
test.beforeAll(async () => {
  admin = await lively();
  const [found] = await admin.call<{ id: string }[]>("GET", `/orgs/${admin.org}/api_keys?name=web`);
  key = found?.id ?? "";
});

for (const [size, viewport] of Object.entries(SIZES)) {
  for (const scheme of ["light", "dark"] as const) {
    test.describe(`${size}, ${scheme}`, () => {
      test.use({ viewport, colorScheme: scheme });
      test("every screen", async ({ page }) => {
        await page.goto("/");
        await expect(page.getByRole("heading", { name: "Sign in" })).toBeVisible();
        await isAccessible(page);
        await picture(page, `screen-${size}-${scheme}-sign-in`);
        await signIn(page, admin);
        const ofKey: [string, string][] = ["", "/settings", "/activity"].map((tab) => [
          `keys/${key}${tab}`,
          "Web shop",
        ]);
        for (const [path, title] of [...SCREENS, ...ofKey]) {
          await page.goto(admin.path(path));
          await expect(page.getByRole("heading", { level: 1, name: title })).toBeVisible();
          await settled(page);
          await isAccessible(page);
          await picture(page, `screen-${size}-${scheme}-${path.replace(key, "one").replaceAll("/", "-")}`);
        }
        if (size === "phone") {
          await page.getByRole("button", { name: "Menu" }).click();
          await isAccessible(page);
          await picture(page, `screen-${size}-${scheme}-menu`);
          await page.getByRole("navigation", { name: "Organization" }).getByRole("link", { name: "Members" }).click();
          await expect(page.getByRole("button", { name: "Sign out" })).toBeHidden();
        }
      });
    });
  }
}

test("the appearance is a wish that lasts", async ({ page }) => {
  await signIn(page, admin);
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await background();
  await page.getByLabel("Appearance").selectOption("Dark");
  const dark = await background();
  expect(dark).not.toBe(light);
  await page.reload();
  await expect.poll(background).toBe(dark);
});
