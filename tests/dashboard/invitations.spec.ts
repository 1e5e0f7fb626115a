// Invitations and recovery links: creating them, and accepting them as a person of an identity provider.

import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, type Page, test as base } from "@playwright/test";
import { isAccessible, signIn, test, visit } from "./browser.ts";
import { type OwnService, startService } from "./own-service.ts";
import { signUp } from "./service.ts";

/** The part of a link behind the URL of the service. A service that chooses its port does not know it in its public URL. */
const pageOf = (link: string) => link.slice(link.indexOf("/#/"));

/** The link that the dialog shows. */
async function newLink(page: Page): Promise<string> {
  const link = (await page.getByLabel("The new link").textContent()) ?? "";
  expect(link).toMatch(/\/#\/invitation\/cvi_[0-9A-Za-z]{49}$/);
  return link;
}

test("a member is invited, and the invitation revoked", async ({ page }) => {
  const admin = await signUp();
  await signIn(page, admin);
  await visit(page, admin, "members", "Members");
  await expect(page.getByRole("heading", { name: "Open invitations" })).toHaveCount(0);
  await page.getByRole("button", { name: "Invite" }).click();
  await page.getByLabel("Name").fill("Grace Hopper");
  await page.getByLabel("Add a permission").fill("files:read");
  await page.getByRole("button", { name: "Add", exact: true }).click();
  await isAccessible(page);
  await page.getByRole("button", { name: "Create link" }).click();
  const link = await newLink(page);
  await isAccessible(page);
  await page.getByRole("button", { name: "Copy link" }).click();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(link);
  await page.keyboard.press("Escape");
  await expect(page.getByLabel("The new link"), "the link is not lost by a key").toBeVisible();
  await page.getByRole("button", { name: "Done" }).click();
  const token = link.slice(link.lastIndexOf("/") + 1);
  expect(await page.content()).not.toContain(token);
  const row = page
    .getByRole("region", { name: "Open invitations" })
    .getByRole("row")
    .filter({ hasText: "Grace Hopper" });
  await expect(row).toContainText("files:read");
  await expect(row).toContainText("in 3 days");
  await page.getByRole("button", { name: "Revoke the link for Grace Hopper" }).click();
  await isAccessible(page);
  await page.getByRole("button", { name: "Revoke link" }).click();
  await expect(page.getByText("The link for Grace Hopper is revoked.")).toBeVisible();
  await expect(row).toHaveCount(0);
  await page.goto(pageOf(link));
  await expect(page.getByRole("heading", { name: "This link is not valid" })).toBeVisible();
  await isAccessible(page);
});

test("a recovery link is created for a member", async ({ page }) => {
  const admin = await signUp();
  await admin.call("POST", `/orgs/${admin.org}/members`, {
    user_name: "Alan Turing",
    user_email: `alan-${admin.org}@example.com`,
    permissions: [],
  });
  await signIn(page, admin);
  await visit(page, admin, "members", "Members");
  await page.getByRole("button", { name: "Create a recovery link for Alan Turing" }).click();
  await expect(page.getByRole("dialog")).toContainText("Their sessions end now.");
  await isAccessible(page);
  await page.getByRole("button", { name: "Create link" }).click();
  const link = await newLink(page);
  await page.getByRole("button", { name: "Done" }).click();
  const row = page
    .getByRole("region", { name: "Open invitations" })
    .getByRole("row")
    .filter({ hasText: "Alan Turing" });
  await expect(row).toContainText("Recovery");
  // The caller has a key, and is no person.
  await page.goto(pageOf(link));
  await expect(page.getByRole("heading", { name: "Get access to Acme Corp again" })).toBeVisible();
  await expect(page.getByText("You are signed in with an API key.")).toBeVisible();
  await isAccessible(page);
  await page.getByRole("button", { name: "Sign out" }).click();
  await expect(page.getByLabel("Access token of your identity provider")).toBeVisible();
  await isAccessible(page);
  await page.getByLabel("Access token of your identity provider").fill("nonsense");
  await page.getByRole("button", { name: "Accept and sign in" }).click();
  await expect(page.getByRole("alert")).toContainText("This access token is not valid");
});

const ISSUER = "https://id.example/";

/** An access token of a person. */
function accessToken(key: KeyObject, subject: string): string {
  const encode = (part: unknown) => Buffer.from(JSON.stringify(part)).toString("base64url");
  const claims = { iss: ISSUER, aud: "claviger", sub: subject, exp: Math.floor(Date.now() / 1_000) + 600 };
  const head = `${encode({ alg: "EdDSA", typ: "at+jwt", kid: "k" })}.${encode(claims)}`;
  return `${head}.${sign(null, Buffer.from(head), key).toString("base64url")}`;
}

/** Starts a service that trusts an identity provider with this key. */
async function serve(key: KeyObject, folder: string): Promise<OwnService> {
  const keys = { keys: [{ ...key.export({ format: "jwk" }), kid: "k", alg: "EdDSA", use: "sig" }] };
  await writeFile(join(folder, "jwks.json"), JSON.stringify(keys));
  const issuer = {
    issuer: ISSUER,
    audiences: ["claviger"],
    jwks: join(folder, "jwks.json"),
    organizations: "tenants",
  };
  await writeFile(join(folder, "issuers.json"), JSON.stringify([issuer]));
  return startService({ CLAVIGER_ISSUERS_FILE: join(folder, "issuers.json") }, folder);
}

base("a person whom no organization has accepts an invitation, and another one when signed in", async ({ page }) => {
  const folder = await mkdtemp(join(tmpdir(), "claviger-dashboard-"));
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const token = accessToken(privateKey, "ada");
  const { service, url } = await serve(publicKey, folder);
  try {
    const post = async <T>(path: string, body: unknown, key?: string): Promise<T> => {
      const headers = {
        "Content-Type": "application/json",
        ...(key !== undefined && { Authorization: `Bearer ${key}` }),
      };
      const answer = await fetch(`${url}${path}`, { method: "POST", headers, body: JSON.stringify(body) });
      expect(answer.ok, `${path}: ${answer.status}`).toBe(true);
      return (await answer.json()) as T;
    };
    const invite = async (organization: string): Promise<string> => {
      const user = { user_name: organization, org_name: organization, user_email: `${organization}@example.com` };
      const { data } = await post<{ data: { api_key: string; org_id: string } }>("/auth/create-key", user);
      const body = { user_name: "Ada Lovelace", permissions: ["api_keys:read"] };
      return (await post<{ url: string }>(`/orgs/${data.org_id}/invitations`, body, data.api_key)).url;
    };
    const link = await invite("Acme");
    expect(pageOf(link)).toMatch(/^\/#\/invitation\/cvi_/);
    await page.goto(url + pageOf(link));
    await expect(page.getByRole("heading", { name: "Join Acme" })).toBeVisible();
    await expect(page.getByRole("main")).toContainText("You are invited to become a member, as Ada Lovelace.");
    await page.getByLabel("Access token of your identity provider").fill(token);
    await page.getByRole("button", { name: "Accept and sign in" }).click();
    await expect(page.getByRole("heading", { level: 1, name: "Keys" })).toBeVisible();
    expect(page.url()).not.toContain("cvi_");
    await page.goto(url + pageOf(await invite("Initech")));
    await expect(page.getByRole("main")).toContainText("You are signed in as Ada Lovelace.");
    await page.getByRole("button", { name: "Accept" }).click();
    await expect(page.getByRole("heading", { level: 1, name: "Keys" })).toBeVisible();
    await expect(page.getByRole("complementary", { name: "Menu" })).toContainText("Initech");
  } finally {
    service.kill();
    await rm(folder, { recursive: true, force: true });
  }
});
