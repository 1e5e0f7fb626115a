// Revoked keys: their page, trying them, and their names in the audit log.

import { expect, isAccessible, picture, settled, signIn, test, visit } from "./browser.ts";
import { signUp } from "./service.ts";

test("a revoked key has a page that says who revoked it, when, and its last use", async ({ page }) => {
  const admin = await signUp();
  const deleter = await admin.createKey({ name: "cleanup job", permissions: ["api_keys:read", "api_keys:write"] });
  const { id, key } = await admin.createKey({ name: "Old laptop" });
  await admin.verify(key);
  const { start } = await admin.call<{ start: string }>("GET", `/orgs/${admin.org}/api_keys/${id}`);
  await fetch(`${process.env.CLAVIGER_URL}/orgs/${admin.org}/api_keys/${id}`, {
    method: "DELETE",
    headers: { Authorization: `Bearer ${deleter.key}` },
  });
  await signIn(page, admin);
  // Trying it says what became of it.
  await visit(page, admin, "try", "Try a key");
  await page.getByLabel("Key", { exact: true }).fill(key);
  await page.getByRole("button", { name: "Check key" }).click();
  const result = page.getByRole("region", { name: "Result" });
  await expect(result).toContainText("The key is not valid");
  await expect(result).toContainText(/It is the secret of Old laptop \(revoked\), revoked on .* by cleanup job\./);
  await isAccessible(page);
  await picture(page, "try-revoked");
  await result.getByRole("link", { name: "Old laptop" }).click();
  await expect(page.getByRole("heading", { name: "Old laptop" })).toBeVisible();
  await expect(page.getByText("Revoked just now by cleanup job.")).toBeVisible();
  await expect(page.getByText("It was last used")).toBeVisible();
  await expect(page.locator("header").getByText(`${start}\u2026`)).toBeVisible();
  await expect(page.getByRole("region", { name: "Activity" }).getByRole("row").nth(1)).toContainText("Revoked key");
  await settled(page);
  await isAccessible(page);
  await picture(page, "revoked-key");
  // The log has its name.
  await visit(page, admin, "audit", "Audit log");
  await expect(page.getByRole("row").filter({ hasText: "Revoked key" })).toContainText("Old laptop (revoked)");
  await page.getByRole("link", { name: "Old laptop" }).first().click();
  await page.getByRole("button", { name: "Restore Old laptop" }).click();
  await expect(page.getByText("Old laptop is restored, but disabled.")).toBeVisible();
  await expect(page.getByRole("button", { name: "Enable" })).toBeVisible();
});

test("an earlier secret of a key is recognized when it is tried", async ({ page }) => {
  const admin = await signUp();
  const { id, key } = await admin.createKey({ name: "rotated" });
  await admin.call("POST", `/orgs/${admin.org}/api_keys/${id}/rotate`, { grace_seconds: 0 });
  await signIn(page, admin);
  await visit(page, admin, "try", "Try a key");
  await page.getByLabel("Key", { exact: true }).fill(key);
  await page.getByRole("button", { name: "Check key" }).click();
  const result = page.getByRole("region", { name: "Result" });
  await expect(result).toContainText(
    "It is an earlier secret of rotated, which was replaced and is not valid any more.",
  );
});
