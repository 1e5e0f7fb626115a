// One key: changed with the changes in view, switched, looked at over time.

import { expect, isAccessible, picture, settled, signIn, test } from "./browser.ts";
import { signUp } from "./service.ts";

test("settings are saved after one has seen what changes, and never over somebody else's change", async ({ page }) => {
  const admin = await signUp();
  const { id } = await admin.make({ name: "before", permissions: ["files:read"], remaining: 10 });
  await signIn(page, admin);
  await page.goto(admin.path(`keys/${id}/settings`));
  const changes = page.getByRole("region", { name: "Changes" });
  await expect(changes).toContainText("Nothing changed yet");
  await expect(page.getByRole("button", { name: "Save changes" })).toBeDisabled();
  await page.getByLabel("Name").fill("after");
  await page.getByLabel("Uses of the rate limit").fill("5");
  await page.getByLabel("Unit of the rate limit").selectOption("hour");
  await page.getByLabel("Uses left").fill("");
  await page.getByText("More", { exact: true }).scrollIntoViewIfNeeded();
  await page.getByLabel("Metadata").fill('{"tier": 2}');
  await expect(changes.getByRole("listitem")).toHaveText([
    "Namebefore → after",
    "Uses left10 → any number",
    "Rate limitnone → 5 per hour",
    'Metadatanone → {"tier":2}',
  ]);
  await isAccessible(page);
  await picture(page, "settings-changes");
  // Somebody else is faster.
  await admin.change(id, { external_id: "theirs" });
  await page.getByRole("button", { name: "Save changes" }).click();
  await expect(page.getByText("Somebody else has changed this key meanwhile.")).toBeVisible();
  await expect(page.getByLabel("Name"), "what was typed is still there").toHaveValue("after");
  await expect(page.getByLabel("External id"), "and what they changed").toHaveValue("theirs");
  await page.getByRole("button", { name: "Save changes" }).click();
  await expect(page.getByText("Saved. It holds from now on.")).toBeVisible();
  await expect(page.getByRole("heading", { name: "after" })).toBeVisible();
  const key = await admin.call("GET", `/orgs/${admin.org}/api_keys/${id}`);
  expect(key).toMatchObject({
    name: "after",
    external_id: "theirs",
    remaining: null,
    rate_limit_max: 5,
    rate_limit_window: 3_600_000,
    metadata: { tier: 2 },
  });
});

test("a key is switched off and on", async ({ page }) => {
  const admin = await signUp();
  const { id, key } = await admin.make({ name: "switched" });
  await signIn(page, admin);
  await page.goto(admin.path(`keys/${id}`));
  await page.getByRole("button", { name: "Disable" }).click();
  await expect(page.getByRole("dialog")).toContainText("switched was never used.");
  await page.getByRole("button", { name: "Disable key" }).click();
  await expect(page.getByText("switched is disabled.")).toBeVisible();
  expect(await admin.verify(key)).toBe("KEY_DISABLED");
  await page.getByRole("button", { name: "Enable" }).click();
  await page.getByRole("button", { name: "Enable key" }).click();
  await expect(page.getByText("switched is enabled.")).toBeVisible();
  expect(await admin.verify(key)).toBe("VALID");
});

test("usage is a chart by hour and by day, and a table", async ({ page }) => {
  const admin = await signUp();
  const { id, key } = await admin.make({ name: "busy", permissions: ["files:read"] });
  for (let use = 0; use < 7; use++) await admin.verify(key, ["files:read"]);
  for (let use = 0; use < 2; use++) await admin.verify(key, ["files:write"]);
  await signIn(page, admin);
  const usage = page.getByRole("region", { name: "Verifications" });
  await expect(async () => {
    await page.goto(admin.path(`keys/${id}`));
    await page.reload();
    await expect(usage.getByRole("img")).toHaveAccessibleName("Verifications by hour: Valid 7, Permission missing 2", {
      timeout: 1_000,
    });
  }).toPass();
  await page.getByLabel("Time").selectOption("Last 30 days, by day");
  await expect(usage.getByRole("img")).toHaveAccessibleName("Verifications by day: Valid 7, Permission missing 2");
  await picture(page, "usage-by-day");
  await usage.getByRole("button", { name: "Show as table" }).click();
  await expect(usage.getByRole("columnheader")).toHaveText(["Day (UTC)", "Valid", "Permission missing"]);
  await expect(usage.getByRole("row").nth(1).getByRole("cell").nth(1)).toHaveText("7");
  await isAccessible(page);
});

test("the old secret is ended before its time", async ({ page }) => {
  const admin = await signUp();
  const { id, key } = await admin.make({ name: "turning" });
  await admin.call("POST", `/orgs/${admin.org}/api_keys/${id}/rotate`, { grace_seconds: 3_600 });
  await signIn(page, admin);
  await page.goto(admin.path(`keys/${id}`));
  await page.getByRole("button", { name: "Rotate" }).click();
  await expect(page.getByRole("radio", { name: "7 days" }), "a key has two secrets at most").toBeDisabled();
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.getByRole("button", { name: "End the old secret now" }).click();
  await expect(page.getByRole("dialog")).toContainText("It cannot be brought back.");
  await page.getByRole("button", { name: "End it" }).click();
  await expect(page.getByText("The old secret has ended.")).toBeVisible();
  await settled(page);
  await expect(page.getByText("Rotating")).toHaveCount(0);
  expect(await admin.verify(key)).toBe("INVALID_API_KEY");
});

test("a secret is not lost to a stray key, nor to the end of the session that made it", async ({ page }) => {
  const admin = await signUp();
  const own = await admin.call<{ api_key: { id: string } }>("GET", "/me");
  await signIn(page, admin);
  await page.goto(admin.path(`keys/${own.api_key.id}`));
  await page.getByRole("button", { name: "Rotate" }).click();
  await page.getByRole("radio", { name: "It ends at once" }).check();
  await expect(page.getByRole("dialog")).toContainText("You are signed in with this key.");
  await page.getByRole("button", { name: "Rotate key" }).click();
  const next = (await page.getByLabel("The new key").textContent()) ?? "";
  for (let press = 0; press < 3; press++) await page.keyboard.press("Escape");
  await expect(page.getByLabel("The new key")).toHaveText(next);
  // The session is over with the key's old text; what asks next finds out.
  await page.evaluate(() => window.dispatchEvent(new Event("sessionended")));
  await expect(page.getByLabel("The new key")).toHaveText(next);
  await page.getByRole("button", { name: "I have stored it" }).click();
  await expect(page.getByText("You were signed out: the session has ended")).toBeVisible();
  await page.getByLabel("API key or token").fill(next);
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page.getByText("Ada Lovelace").first()).toBeVisible();
});

test("where a new secret was lost on its way, that is said", async ({ page }) => {
  const admin = await signUp();
  const { id } = await admin.make({ name: "unlucky" });
  await signIn(page, admin);
  await page.goto(admin.path(`keys/${id}`));
  await page.getByRole("button", { name: "Rotate" }).click();
  // It is done, and its answer does not arrive.
  await page.route("**/rotate", async (route) => {
    await route.fetch({ headers: { ...route.request().headers(), "sec-fetch-site": "same-origin" } });
    await route.abort();
  });
  await page.getByRole("button", { name: "Rotate key" }).click();
  await expect(page.getByRole("alert")).toContainText("The service did not answer.");
  await page.unroute("**/rotate");
  await page.getByRole("button", { name: "Rotate key" }).click();
  await expect(page.getByRole("alert")).toContainText("It was done, but the answer was lost on its way.");
  await page.getByRole("button", { name: "Go on" }).click();
  await expect(page.getByText("Rotating")).toBeVisible();
});
