// Trying a key: the result of each check.

import { expect, isAccessible, picture, signIn, test, visit } from "./browser.ts";
import { signUp } from "./service.ts";

test("the failed check is shown, and no use is counted", async ({ page }) => {
  const admin = await signUp();
  const spent = await admin.createKey({ name: "spent", remaining: 0 });
  const bound = await admin.createKey({
    name: "bound",
    allowed_addresses: ["203.0.113.0/24"],
    remaining: 5,
    permissions: ["files:read"],
  });
  const later = await admin.createKey({ name: "later", not_before: new Date(Date.now() + 86_400_000).toISOString() });
  const off = await admin.createKey({ name: "off" });
  await admin.updateKey(off.id, { enabled: false });
  await signIn(page, admin);
  await visit(page, admin, "try", "Try a key");
  const result = page.getByRole("region", { name: "Result" });
  const verify = async (key: string, permissions = "", address = "") => {
    await page.getByLabel("Key", { exact: true }).fill(key);
    await page.getByLabel("Required permissions").fill(permissions);
    await page.getByLabel("Client IP address").fill(address);
    await page.getByRole("button", { name: "Check key" }).click();
  };
  const failed = result.getByRole("listitem").filter({ has: page.getByLabel("Failed") });
  for (const [key, permissions, address, reason, check] of [
    [spent.key, "", "", "it has no uses left", "0 uses are left."],
    [later.key, "", "", "it is not valid yet", "It is valid from"],
    [off.key, "", "", "it is disabled", "It is disabled."],
    [bound.key, "", "198.51.100.7", "it cannot be used from this IP address", "the client is 198.51.100.7"],
    [bound.key, "files:write", "203.0.113.7", "it lacks a permission", "It lacks files:write."],
    ["cvg_nonsense", "", "", "it is unknown in this organization, or revoked", "The key is unknown"],
  ] as const) {
    await verify(key, permissions, address);
    await expect(result).toContainText(`The key is not valid: ${reason}`);
    await expect(failed.first()).toContainText(check);
  }
  for (const pasted of [`Bearer ${bound.key}`, `'${bound.key}'`, `x-api-key: ${bound.key} `]) {
    await verify(pasted, "files:read", "203.0.113.7");
    await expect(result, pasted.split(bound.key)[0]).toContainText("The key is valid");
  }
  await verify(bound.key, "files:read", "203.0.113.7");
  await expect(result).toContainText("The key is valid");
  await expect(result).toContainText("5 uses are left.");
  await expect(failed).toHaveCount(0);
  await isAccessible(page);
  await picture(page, "try-a-key");
  await page.getByLabel("Required permissions").fill("files read*");
  await expect(page.getByText("read* is not a valid permission.")).toBeVisible();
  const { remaining } = await admin.call("GET", `/orgs/${admin.org}/api_keys/${bound.id}`);
  expect(remaining).toBe(5);
});
