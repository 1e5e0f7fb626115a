// Trying a key: check by check, for each reason that there is.

import { expect, isAccessible, picture, signIn, test, visit } from "./browser.ts";
import { signUp } from "./service.ts";

test("each reason is named at its check, and nothing is counted", async ({ page }) => {
  const admin = await signUp();
  const spent = await admin.make({ name: "spent", remaining: 0 });
  const bound = await admin.make({
    name: "bound",
    allowed_addresses: ["203.0.113.0/24"],
    remaining: 5,
    permissions: ["files:read"],
  });
  const later = await admin.make({ name: "later", not_before: new Date(Date.now() + 86_400_000).toISOString() });
  const off = await admin.make({ name: "off" });
  await admin.change(off.id, { enabled: false });
  await signIn(page, admin);
  await visit(page, admin, "try", "Try a key");
  const answer = page.getByRole("region", { name: "The answer" });
  const ask = async (key: string, permissions = "", address = "") => {
    await page.getByLabel("Key", { exact: true }).fill(key);
    await page.getByLabel("Permissions that are needed").fill(permissions);
    await page.getByLabel("Caller's IP address").fill(address);
    await page.getByRole("button", { name: "Check key" }).click();
  };
  const failed = answer.getByRole("listitem").filter({ has: page.getByLabel("Failed") });
  for (const [key, permissions, address, reason, check] of [
    [spent.key, "", "", "it is used up", "0 uses are left."],
    [later.key, "", "", "it is not valid yet", "It is valid from"],
    [off.key, "", "", "it is disabled", "It is disabled."],
    [bound.key, "", "198.51.100.7", "it may not be used from this address", "it was asked for 198.51.100.7"],
    [bound.key, "files:write", "203.0.113.7", "it lacks a permission", "It lacks files:write."],
    ["cvg_nonsense", "", "", "it is no key of this organization, or it was revoked", "No such key is known here"],
  ] as const) {
    await ask(key, permissions, address);
    await expect(answer).toContainText(`The key is not good: ${reason}`);
    await expect(failed.first()).toContainText(check);
  }
  await ask(bound.key, "files:read", "203.0.113.7");
  await expect(answer).toContainText("The key is good");
  await expect(answer).toContainText("5 uses are left.");
  await expect(failed).toHaveCount(0);
  await isAccessible(page);
  await picture(page, "try-a-key");
  await page.getByLabel("Permissions that are needed").fill("files read*");
  await expect(page.getByText("read* is no permission.")).toBeVisible();
  const { remaining } = await admin.call("GET", `/orgs/${admin.org}/api_keys/${bound.id}`);
  expect(remaining).toBe(5);
});
