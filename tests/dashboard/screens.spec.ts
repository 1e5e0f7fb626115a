// Every page in both themes, on a phone, a tablet, a desktop and a wide screen: a picture, and the checks of `isAccessible`.

import { expect, isAccessible, picture, settled, signIn, test } from "./browser.ts";
import { type Caller, sampleOrganization } from "./service.ts";

const SIZES = {
  phone: { width: 360, height: 740 },
  tablet: { width: 1024, height: 768 },
  desktop: { width: 1440, height: 900 },
  wide: { width: 1920, height: 1080 },
};

const SCREENS: [string, string][] = [
  ["overview", "Overview"],
  ["keys", "Keys"],
  ["keys/new", "Create a key"],
  ["my-keys", "My keys"],
  ["try", "Try a key"],
  ["members", "Members"],
  ["sets", "Permission sets"],
  ["audit", "Audit log"],
  ["organization", "Organization"],
];

let admin: Caller;
let key: string;
test.beforeAll(async () => {
  admin = await sampleOrganization();
  const [found] = await admin.call<{ id: string }[]>("GET", `/orgs/${admin.org}/api_keys?name=web`);
  key = found?.id ?? "";
});

for (const [size, viewport] of Object.entries(SIZES)) {
  for (const scheme of ["light", "dark"] as const) {
    test.describe(`${size}, ${scheme}`, () => {
      test.use({ viewport, colorScheme: scheme });
      test("every page", async ({ page }) => {
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
          await expect(page.getByRole("button", { name: "Sign out", exact: true })).toBeHidden();
        }
      });
    });
  }
}

test("the chosen theme is kept", async ({ page }) => {
  await signIn(page, admin);
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await background();
  await page.getByLabel("Theme").selectOption("Dark");
  const dark = await background();
  expect(dark).not.toBe(light);
  await page.reload();
  await expect.poll(background).toBe(dark);
});
