// The page of a key: its settings, operations and usage.

import { expect, isAccessible, picture, settled, signIn, test } from "./browser.ts";
import { signUp } from "./service.ts";

test("changes are listed before they are saved, and do not overwrite concurrent changes", async ({ page }) => {
  const admin = await signUp();
  const { id } = await admin.createKey({ name: "before", permissions: ["files:read"], remaining: 10 });
  await signIn(page, admin);
  await page.goto(admin.path(`keys/${id}/settings`));
  const changes = page.getByRole("region", { name: "Changes" });
  await expect(changes).toContainText("No changes yet");
  await expect(page.getByRole("button", { name: "Save changes" })).toBeDisabled();
  await page.getByLabel("Name").fill("after");
  await page.getByLabel("Description").fill("Nightly jobs");
  await page.getByLabel("Uses of the rate limit").fill("5");
  await page.getByLabel("Unit of the rate limit").selectOption("hour");
  await page.getByLabel("Uses left").fill("");
  await page.getByText("Advanced", { exact: true }).scrollIntoViewIfNeeded();
  await page.getByLabel("Metadata").fill('{"tier": 2}');
  await expect(changes.getByRole("listitem")).toHaveText([
    "Namebefore → after",
    "Descriptionnone → Nightly jobs",
    "Uses left10 → unlimited",
    "Rate limitnone → 5 per hour",
    'Metadatanone → {"tier":2}',
  ]);
  await isAccessible(page);
  await picture(page, "settings-changes");
  // Another caller changes the key.
  await admin.updateKey(id, { external_id: "concurrent" });
  await page.getByRole("button", { name: "Save changes" }).click();
  await expect(page.getByText("This key was changed in the meantime.")).toBeVisible();
  await expect(page.getByLabel("Name"), "the edit is kept").toHaveValue("after");
  await expect(page.getByLabel("External id"), "the concurrent change is included").toHaveValue("concurrent");
  await page.getByRole("button", { name: "Save changes" }).click();
  await expect(page.getByText("Saved. The changes apply immediately.")).toBeVisible();
  await expect(page.getByRole("heading", { name: "after" })).toBeVisible();
  const key = await admin.call("GET", `/orgs/${admin.org}/api_keys/${id}`);
  expect(key).toMatchObject({
    name: "after",
    description: "Nightly jobs",
    external_id: "concurrent",
    remaining: null,
    rate_limit_max: 5,
    rate_limit_window: 3_600_000,
    metadata: { tier: 2 },
  });
  await page.getByRole("link", { name: "Overview" }).last().click();
  await expect(page.getByRole("region", { name: "Details" })).toContainText("DescriptionNightly jobs");
  await page.getByRole("link", { name: "All keys" }).click();
  await expect(page.getByRole("row").filter({ hasText: "after" })).toContainText("Nightly jobs");
});

test("a key is disabled and enabled", async ({ page }) => {
  const admin = await signUp();
  const { id, key } = await admin.createKey({ name: "toggled" });
  await signIn(page, admin);
  await page.goto(admin.path(`keys/${id}`));
  await page.getByRole("button", { name: "Disable" }).click();
  await expect(page.getByRole("dialog")).toContainText("toggled was never used.");
  await page.getByRole("button", { name: "Disable key" }).click();
  await expect(page.getByText("toggled is disabled.")).toBeVisible();
  expect(await admin.verify(key)).toBe("KEY_DISABLED");
  await page.getByRole("button", { name: "Enable" }).click();
  await page.getByRole("button", { name: "Enable key" }).click();
  await expect(page.getByText("toggled is enabled.")).toBeVisible();
  expect(await admin.verify(key)).toBe("VALID");
});

test("usage is shown as a chart by hour or by day, and as a table", async ({ page }) => {
  const admin = await signUp();
  const { id, key } = await admin.createKey({ name: "busy", permissions: ["files:read"] });
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
  await page.getByLabel("Period").selectOption("Last 30 days");
  await expect(usage.getByRole("img")).toHaveAccessibleName("Verifications by day: Valid 7, Permission missing 2");
  await picture(page, "usage-by-day");
  await usage.getByRole("button", { name: "Show as table" }).click();
  await expect(usage.getByRole("columnheader")).toHaveText(["Day (UTC)", "Valid", "Permission missing"]);
  await expect(usage.getByRole("row").nth(1).getByRole("cell").nth(1)).toHaveText("7");
  await isAccessible(page);
});

test("the previous secret is revoked before it expires", async ({ page }) => {
  const admin = await signUp();
  const { id, key } = await admin.createKey({ name: "rotated" });
  await admin.call("POST", `/orgs/${admin.org}/api_keys/${id}/rotate`, { grace_seconds: 3_600 });
  await signIn(page, admin);
  await page.goto(admin.path(`keys/${id}`));
  await page.getByRole("button", { name: "Rotate" }).click();
  await expect(page.getByRole("radio", { name: "7 days" }), "a key has at most two valid secrets").toBeDisabled();
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.getByRole("button", { name: "Revoke previous secret" }).click();
  await expect(page.getByRole("dialog")).toContainText("cannot be restored.");
  await page.getByRole("button", { name: "Revoke secret" }).click();
  await expect(page.getByText("The previous secret is revoked.")).toBeVisible();
  await settled(page);
  await expect(page.getByText("Rotating")).toHaveCount(0);
  expect(await admin.verify(key)).toBe("INVALID_API_KEY");
});

test("a new secret stays visible when Escape is pressed, and when the session ends", async ({ page }) => {
  const admin = await signUp();
  const own = await admin.call<{ api_key: { id: string } }>("GET", "/me");
  await signIn(page, admin);
  await page.goto(admin.path(`keys/${own.api_key.id}`));
  await page.getByRole("button", { name: "Rotate" }).click();
  await expect(page.getByRole("dialog")).toContainText("A session cannot rotate the key that it was created with.");
  await page.keyboard.press("Escape");
  const { id } = await admin.createKey({ name: "other", permissions: ["*"] });
  await page.goto(admin.path(`keys/${id}`));
  await page.getByRole("button", { name: "Rotate" }).click();
  await page.getByRole("radio", { name: "None: revoke it at once" }).check();
  await page.getByRole("button", { name: "Rotate key" }).click();
  const next = (await page.getByLabel("The new key").textContent()) ?? "";
  for (let press = 0; press < 3; press++) await page.keyboard.press("Escape");
  await expect(page.getByLabel("The new key")).toHaveText(next);
  // The session is ended by another request.
  await admin.call("DELETE", "/me/sessions");
  await page.evaluate(() => window.dispatchEvent(new Event("sessionended")));
  await expect(page.getByLabel("The new key")).toHaveText(next);
  await page.getByRole("button", { name: "I have stored it" }).click();
  await expect(page.getByText("You were signed out: the session has ended")).toBeVisible();
  await page.getByLabel("API key or token").fill(admin.key);
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page.getByText("Ada Lovelace").first()).toBeVisible();
});

test("if the response with a new secret is lost, the page says so", async ({ page }) => {
  const admin = await signUp();
  const { id } = await admin.createKey({ name: "unlucky" });
  await signIn(page, admin);
  await page.goto(admin.path(`keys/${id}`));
  await page.getByRole("button", { name: "Rotate" }).click();
  // The request is executed, but its response is lost.
  await page.route("**/rotate", async (route) => {
    await route.fetch({ headers: { ...route.request().headers(), "sec-fetch-site": "same-origin" } });
    await route.abort();
  });
  await page.getByRole("button", { name: "Rotate key" }).click();
  await expect(page.getByRole("alert")).toContainText("The service did not answer.");
  await page.unroute("**/rotate");
  await page.getByRole("button", { name: "Rotate key" }).click();
  await expect(page.getByRole("alert")).toContainText("The operation succeeded, but its response was lost.");
  await page.getByRole("button", { name: "Continue" }).click();
  await expect(page.getByText("Rotating")).toBeVisible();
});
