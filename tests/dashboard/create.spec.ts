// The form for a new key: it says what the key will be able to do while one types, and takes nothing that would be refused.

import { expect, isAccessible, picture, signIn, test, visit } from "./browser.ts";
import { Caller, lively, signUp } from "./service.ts";

test("what the key will be able to do is said while one types", async ({ page }) => {
  const admin = await lively();
  await signIn(page, admin);
  await visit(page, admin, "keys/new", "Create a key");
  const summary = page.getByRole("region", { name: "What this key will be able to do" });
  await expect(summary).toContainText("No permissions yet");
  await page.getByLabel("Name").fill("Nightly export");
  // Free entry is checked at once.
  const entry = page.getByLabel("Add a permission");
  await entry.fill("file*:read");
  await expect(page.getByText("file*:read is no permission")).toBeVisible();
  await expect(page.getByRole("button", { name: "Add", exact: true })).toBeDisabled();
  await entry.fill("reports:read");
  await expect(page.getByText("Can read reports.")).toBeVisible();
  await entry.press("Enter");
  // Picked by resource and action.
  const files = page.getByRole("group", { name: "files" });
  await files.getByLabel("everything").check();
  await expect(files.getByLabel("read"), "included in everything").toBeDisabled();
  await page.getByText("Managing Claviger itself").click();
  await page.getByRole("group", { name: "api_keys", exact: true }).getByLabel("verify").check();
  await page.getByLabel("billing").check();
  for (const sentence of [
    "Can read reports",
    "Can do everything to files",
    "Can check whether a key is good",
    "Can write invoices",
  ]) {
    await expect(summary).toContainText(sentence);
  }
  await page.getByRole("button", { name: "Remove reports:read" }).click();
  await expect(summary).not.toContainText("reports");
  await page.getByRole("button", { name: "30 days" }).click();
  await expect(summary).toContainText("in 30 days");
  await page.getByLabel("Uses of the refill").fill("5000");
  await page.getByLabel("Uses of the rate limit").fill("1o0");
  await page.getByText("More", { exact: true }).click();
  await page.getByLabel("Allowed addresses").fill("203.0.113.0/24\n2001:db8::/32");
  await expect(summary).toContainText("203.0.113.0/24, 2001:db8::/32");
  await page.getByLabel("Metadata").fill("{plan: pro}");
  await page.getByRole("button", { name: "Create key" }).click();
  await expect(page.getByText("A whole number, 1 or more.").first()).toBeVisible();
  await expect(page.getByText("A JSON object like").first()).toBeVisible();
  await isAccessible(page);
  await picture(page, "create-mistakes");
  await page.getByLabel("Uses of the rate limit").fill("100");
  await page.getByLabel("Metadata").fill('{"plan": "pro"}');
  await page.getByRole("button", { name: "Create key" }).click();
  await expect(page.getByText("You will not see this key again.")).toBeVisible();
  const [key] = await admin.call<Record<string, unknown>[]>("GET", `/orgs/${admin.org}/api_keys?name=nightly`);
  expect(key).toMatchObject({
    permissions: ["files:*", "api_keys:verify"],
    allowed_addresses: ["203.0.113.0/24", "2001:db8::/32"],
    metadata: { plan: "pro" },
    remaining: 5000,
    refill_amount: 5000,
    refill_interval: 86_400_000,
    rate_limit_max: 100,
    rate_limit_window: 60_000,
  });
  const days = (Date.parse(String(key?.expires_at)) - Date.now()) / 86_400_000;
  expect(Math.round(days)).toBe(30);
});

test("examples are ready in every language, and work", async ({ page }) => {
  const admin = await signUp();
  await signIn(page, admin);
  await visit(page, admin, "keys/new", "Create a key");
  await page.getByLabel("Name").fill("Example");
  await page.getByLabel("Add a permission").fill("files:read");
  await page.getByRole("button", { name: "Add", exact: true }).click();
  await page.getByRole("button", { name: "Create key" }).click();
  const secret = (await page.getByLabel("The new key").textContent()) ?? "";
  const examples = page.getByRole("region", { name: "Examples" });
  for (const [language, sign] of [
    ["JavaScript", "await fetch("],
    ["Python", "requests.post("],
    ["Rust", "reqwest::Client"],
    ["curl", "curl -s"],
  ] as const) {
    await examples.getByRole("button", { name: language }).click();
    await expect(examples.locator("pre")).toContainText(sign);
    await expect(examples.locator("pre")).toContainText(secret);
  }
  const { execFileSync } = await import("node:child_process");
  const command = (await examples.locator("pre").textContent()) ?? "";
  const answer = execFileSync("bash", ["-c", command], { env: { ...process.env, SERVICE_KEY: admin.key } });
  expect(JSON.parse(answer.toString())).toMatchObject({ valid: true, code: "VALID" });
});

test("nobody is led to give more than they hold", async ({ page }) => {
  const admin = await signUp();
  const { key } = await admin.make({
    name: "team lead",
    permissions: ["api_keys:read", "api_keys:write", "files:read"],
  });
  const lead = new Caller(key, admin.org);
  await signIn(page, lead);
  await visit(page, lead, "keys/new", "Create a key");
  await expect(page.getByText("Limits need the permission org:admin.")).toBeVisible();
  await expect(page.getByLabel("Uses in all")).toBeDisabled();
  await expect(page.getByRole("group", { name: "files" }).getByLabel("everything")).toHaveCount(0);
  await page.getByLabel("Name").fill("child");
  await page.getByLabel("Add a permission").fill("files:write");
  await expect(page.getByText("You do not hold files:write, so you cannot give it.")).toBeVisible();
  await page.getByLabel("Add a permission").fill("files:read");
  await page.getByRole("button", { name: "Add", exact: true }).click();
  await page.getByRole("button", { name: "Create key" }).click();
  await expect(page.getByText("You will not see this key again.")).toBeVisible();
});

test("what the service refuses is said in its place, with the request's id where it helps", async ({ page }) => {
  const admin = await signUp();
  await signIn(page, admin);
  await visit(page, admin, "keys/new", "Create a key");
  await page.getByLabel("Name").fill("bound");
  await page.getByText("More", { exact: true }).click();
  await page.getByLabel("Allowed addresses").fill("300.1.1.1");
  await page.getByRole("button", { name: "Create key" }).click();
  await expect(page.getByLabel("Allowed addresses"), "to where it is wrong").toBeFocused();
  // Only the service knows that there are bits beyond the prefix.
  await page.getByLabel("Allowed addresses").fill("10.0.0.1/8");
  await page.getByRole("button", { name: "Create key" }).click();
  await expect(page.getByRole("alert").filter({ hasText: "Allowed addresses" }).first()).toBeVisible();
  await expect(page.getByText("Request id")).toBeVisible();
  await expect(page.getByLabel("Allowed addresses")).toHaveValue("10.0.0.1/8");
  // What was typed and not added is not lost without a word.
  await page.getByLabel("Add a permission").fill("files:read");
  await page.getByRole("button", { name: "Create key" }).click();
  await expect(page.getByLabel("Add a permission")).toBeFocused();
  await expect(page.getByText("You will not see this key again.")).toHaveCount(0);
  await page.getByLabel("Add a permission").fill("");
  // A press that is sent twice makes one key.
  await page.getByLabel("Allowed addresses").fill("");
  await page.getByRole("button", { name: "Create key" }).dblclick();
  await expect(page.getByText("You will not see this key again.")).toBeVisible();
  expect(await admin.call<unknown[]>("GET", `/orgs/${admin.org}/api_keys?name=bound`)).toHaveLength(1);
});
