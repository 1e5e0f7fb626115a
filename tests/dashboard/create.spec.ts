// The form for a new key: its summary, its checks, and the errors of the service.

import { expect, isAccessible, picture, signIn, test, visit } from "./browser.ts";
import { Caller, sampleOrganization, ORIGIN, signUp } from "./service.ts";

test("the summary follows the form, and the created key has its settings", async ({ page }) => {
  const admin = await sampleOrganization();
  await signIn(page, admin);
  await visit(page, admin, "keys/new", "Create a key");
  const summary = page.getByRole("region", { name: "Summary" });
  await expect(summary).toContainText("No permissions yet");
  await page.getByLabel("For managing Claviger").check();
  await page.getByLabel("Name").fill("Nightly export");
  // Typed permissions are checked while they are typed.
  const entry = page.getByLabel("Add a permission");
  await entry.fill("file*:read");
  await expect(page.getByText("file*:read is not a valid permission")).toBeVisible();
  await expect(page.getByRole("button", { name: "Add", exact: true })).toBeDisabled();
  await entry.fill("reports:read");
  await expect(page.getByText("Can read reports.")).toBeVisible();
  await entry.press("Enter");
  // Permissions are chosen by resource and action.
  const files = page.getByRole("group", { name: "files" });
  await files.getByLabel("everything").check();
  await expect(files.getByLabel("read"), "included in `files:*`").toBeDisabled();
  await page.getByText("Managing Claviger itself").click();
  await page.getByRole("group", { name: "api_keys", exact: true }).getByLabel("verify").check();
  await page.getByLabel("billing").check();
  for (const sentence of ["Can read reports", "Can do everything to files", "Can verify keys", "Can write invoices"]) {
    await expect(summary).toContainText(sentence);
  }
  await page.getByRole("button", { name: "Remove reports:read" }).click();
  await expect(summary).not.toContainText("reports");
  await page.getByRole("button", { name: "30 days" }).click();
  await expect(summary).toContainText("in 30 days");
  await page.getByLabel("Uses of the refill").fill("5000");
  await page.getByLabel("Uses of the rate limit").fill("1o0");
  await page.getByText("Advanced", { exact: true }).click();
  await page.getByLabel("Allowed IP addresses").fill("203.0.113.0/24\n2001:db8::/32");
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
    can_manage: true,
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

test("the purpose of a key is chosen, and its access to Claviger is listed", async ({ page }) => {
  const admin = await signUp();
  await signIn(page, admin);
  await visit(page, admin, "keys/new", "Create a key");
  const own = page.getByLabel("For your own API (cannot manage Claviger)");
  const managing = page.getByLabel("For managing Claviger");
  await expect(own, "the default").toBeChecked();
  const warning = page.locator(".notice.danger");
  await expect(warning).toHaveCount(0);
  await managing.check();
  await expect(warning).toContainText("So far they allow nothing here.");
  const entry = page.getByLabel("Add a permission");
  await entry.fill("files:read org:admin members:read,");
  await entry.press("Enter");
  await expect(warning.getByRole("listitem")).toHaveText([
    "org: change the organization, set limits of keys",
    "members: see the members",
  ]);
  await isAccessible(page);
  await picture(page, "create-managing");
  await own.check();
  await expect(warning).toHaveCount(0);
  const summary = page.getByRole("region", { name: "Summary" });
  await expect(summary).toContainText("not with this key, which cannot manage Claviger");
  await page.getByLabel("Name").fill("Customer");
  await page.getByRole("button", { name: "Create key" }).click();
  const secret = (await page.getByLabel("The new key").textContent()) ?? "";
  const refused = await fetch(`${ORIGIN}/orgs/${admin.org}`, { headers: { Authorization: `Bearer ${secret}` } });
  expect([refused.status, ((await refused.json()) as { reason: string }).reason]).toEqual([403, "cannot_manage"]);
  expect(await admin.verify(secret, ["files:read", "org:admin"])).toBe("VALID");
  await page.getByRole("button", { name: "I have stored it" }).click();
  await expect(page.getByText("your own API; it cannot manage Claviger")).toBeVisible();
  // Changing it back is listed before it is saved.
  await page.getByRole("link", { name: "Settings" }).click();
  await expect(own).toBeChecked();
  await managing.check();
  await expect(page.getByRole("region", { name: "Changes" }).getByRole("listitem")).toHaveText([
    "Purposeyour own API → managing Claviger",
  ]);
  await page.getByRole("button", { name: "Save changes" }).click();
  await expect(page.getByText("Saved. The changes apply immediately.")).toBeVisible();
  await visit(page, admin, "keys?for=claviger", "Keys");
  await expect(page.getByRole("row").filter({ hasText: "Customer" })).toContainText("Manages Claviger");
  await visit(page, admin, "keys?for=api", "Keys");
  await expect(page.getByRole("heading", { name: "No keys match" })).toBeVisible();
});

test("there is an example in each language, and that for curl works", async ({ page }) => {
  const admin = await signUp();
  await signIn(page, admin);
  await visit(page, admin, "keys/new", "Create a key");
  await page.getByLabel("Name").fill("Example");
  await page.getByLabel("Add a permission").fill("files:read");
  await page.getByRole("button", { name: "Add", exact: true }).click();
  await page.getByRole("button", { name: "Create key" }).click();
  const secret = (await page.getByLabel("The new key").textContent()) ?? "";
  const examples = page.getByRole("region", { name: "Protect an API" });
  for (const [language, sign] of [
    ["JavaScript", "await fetch("],
    ["Python", "requests.post("],
    ["Rust", "reqwest::Client"],
    ["curl", "curl -s"],
  ] as const) {
    await examples.getByRole("button", { name: language }).click();
    await expect(examples.locator("pre")).toContainText(sign);
    await expect(examples.locator("pre"), "it would get into source code").not.toContainText(secret);
  }
  const { execFileSync } = await import("node:child_process");
  const command = (await examples.locator("pre").textContent()) ?? "";
  const answer = execFileSync("bash", ["-c", command], {
    env: { ...process.env, SERVICE_KEY: admin.key, KEY: secret },
  });
  expect(JSON.parse(answer.toString())).toMatchObject({ valid: true, code: "VALID" });
  // Those for gateways name the organization and the permission, and never have the secret.
  for (const [gateway, permission] of [
    ["nginx", `/forward-auth/${admin.org}?permission=files:read`],
    ["Caddy", `/forward-auth/${admin.org}?permission=files:read`],
    ["Envoy", "secret=GATEWAY_SECRET&permission=files:read"],
  ] as const) {
    await examples.getByRole("button", { name: gateway }).click();
    await expect(examples.locator("pre")).toContainText(`/forward-auth/${admin.org}`);
    await expect(examples.locator("pre")).toContainText(permission);
    await expect(examples.locator("pre")).not.toContainText(secret);
  }
});

test("a caller can only grant its own permissions", async ({ page }) => {
  const admin = await signUp();
  const { key } = await admin.createKey({
    name: "team lead",
    permissions: ["api_keys:read", "api_keys:write", "files:read"],
  });
  const lead = new Caller(key, admin.org);
  await signIn(page, lead);
  await visit(page, lead, "keys/new", "Create a key");
  await expect(page.getByText("Limits need the permission org:admin.")).toBeVisible();
  await expect(page.getByLabel("Total uses")).toBeDisabled();
  await expect(page.getByRole("group", { name: "files" }).getByLabel("everything")).toHaveCount(0);
  await page.getByLabel("Name").fill("child");
  await page.getByLabel("Add a permission").fill("files:write");
  await expect(page.getByText("You do not hold files:write, so you cannot grant it.")).toBeVisible();
  await page.getByLabel("Add a permission").fill("files:read");
  await page.getByRole("button", { name: "Add", exact: true }).click();
  await page.getByRole("button", { name: "Create key" }).click();
  await expect(page.getByText("You will not see this key again.")).toBeVisible();
});

test("errors are shown at the field, and a double click creates one key", async ({ page }) => {
  const admin = await signUp();
  await signIn(page, admin);
  await visit(page, admin, "keys/new", "Create a key");
  await page.getByLabel("Name").fill("bound");
  await page.getByText("Advanced", { exact: true }).click();
  await page.getByLabel("Allowed IP addresses").fill("300.1.1.1");
  await page.getByRole("button", { name: "Create key" }).click();
  await expect(page.getByLabel("Allowed IP addresses"), "the focus moves to the invalid field").toBeFocused();
  await page.getByLabel("Allowed IP addresses").fill("10.0.0.1/8");
  await page.getByRole("button", { name: "Create key" }).click();
  await expect(page.getByText("10.0.0.1/8 has bits after its prefix").first()).toBeVisible();
  // Only the service checks the groups of an IPv6 address.
  await page.getByLabel("Allowed IP addresses").fill("1:2:3:4:5:6:7:8:9");
  await page.getByRole("button", { name: "Create key" }).click();
  await expect(page.getByRole("alert").filter({ hasText: "Allowed addresses" }).first()).toBeVisible();
  await expect(page.getByText("Request id")).toBeVisible();
  await expect(page.getByLabel("Allowed IP addresses")).toHaveValue("1:2:3:4:5:6:7:8:9");
  // A typed permission that was not added is not dropped silently.
  await page.getByLabel("Add a permission").fill("files:read");
  await page.getByRole("button", { name: "Create key" }).click();
  await expect(page.getByLabel("Add a permission")).toBeFocused();
  await expect(page.getByText("You will not see this key again.")).toHaveCount(0);
  await page.getByLabel("Add a permission").fill("");
  // A double click creates one key.
  await page.getByLabel("Allowed IP addresses").fill("");
  await page.getByRole("button", { name: "Create key" }).dblclick();
  await expect(page.getByText("You will not see this key again.")).toBeVisible();
  expect(await admin.call<unknown[]>("GET", `/orgs/${admin.org}/api_keys?name=bound`)).toHaveLength(1);
});
