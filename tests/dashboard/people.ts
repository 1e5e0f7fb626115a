// People in tests: with the virtual authenticator of Chromium, and with accounts at an identity provider.

import { type ChildProcess, spawn } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect, type Page } from "@playwright/test";
import { isAccessible } from "./browser.ts";

type Json = Record<string, unknown>;

/** An authenticator with a fingerprint, in one browser. */
export interface Authenticator {
  /** Its passkeys. */
  passkeys: () => Promise<Passkey[]>;
  /** Removes it, with its passkeys. */
  remove: () => Promise<void>;
}

/** A passkey as Chromium's virtual authenticator has it. */
interface Passkey {
  credentialId: string;
  isResidentCredential: boolean;
  privateKey: string;
  signCount: number;
}

/** Adds an authenticator with these passkeys to the browser of a page. */
export async function addAuthenticator(page: Page, passkeys: Passkey[] = []): Promise<Authenticator> {
  const session = await page.context().newCDPSession(page);
  await session.send("WebAuthn.enable");
  const { authenticatorId } = await session.send("WebAuthn.addVirtualAuthenticator", {
    options: {
      protocol: "ctap2",
      transport: "internal",
      hasResidentKey: true,
      hasUserVerification: true,
      isUserVerified: true,
      automaticPresenceSimulation: true,
    },
  });
  for (const credential of passkeys) {
    await session.send("WebAuthn.addCredential", { authenticatorId, credential });
  }
  return {
    passkeys: async () => (await session.send("WebAuthn.getCredentials", { authenticatorId })).credentials,
    remove: async () => {
      await session.send("WebAuthn.removeVirtualAuthenticator", { authenticatorId });
    },
  };
}

/** Signs up at the page of the service at `url`. */
export async function signUpWithPasskey(page: Page, url: string, name: string): Promise<void> {
  await page.goto(url);
  await page.getByRole("link", { name: "Create an organization" }).click();
  await page.getByLabel("Organization").fill(`${name} Ltd`);
  await page.getByLabel("Your name").fill(name);
  await page.getByLabel("E-mail address").fill(`${name.toLowerCase().replaceAll(" ", "-")}@example.com`);
  await isAccessible(page);
  await page.getByRole("button", { name: "Create a passkey and sign up" }).click();
  await expect(page.getByRole("heading", { level: 1, name: "Keys" })).toBeVisible();
}

/** The link that the dialog shows. */
export async function newLink(page: Page): Promise<string> {
  const link = (await page.getByLabel("The new link").textContent()) ?? "";
  await page.getByRole("button", { name: "Done" }).click();
  return link.slice(link.indexOf("/#/"));
}

/** Starts an identity provider where anybody has an account. */
export async function startProvider(): Promise<{ process: ChildProcess; url: string }> {
  const provider = spawn(process.execPath, [join(import.meta.dirname, "oidc-provider.mjs")], { stdio: "pipe" });
  for await (const line of createInterface({ input: provider.stdout })) {
    provider.stdout.resume();
    provider.stderr.resume();
    return { process: provider, url: line };
  }
  throw new Error("the provider did not start");
}

/** Registers the service at `url` as a client of the provider. Returns the path of the issuers file that says so. */
export async function signInSettings(provider: string, url: string, folder: string): Promise<string> {
  const client = await post<{ client_id: string; client_secret: string }>(`${provider}/reg`, {
    redirect_uris: [`${url}/sign_in/acme/callback`],
    post_logout_redirect_uris: [`${url}/`],
  });
  const secret = join(folder, "secret");
  await writeFile(secret, client.client_secret, { mode: 0o600 });
  const issuer = {
    issuer: provider,
    audiences: ["claviger"],
    organizations: "tenants",
    sign_in: { id: "acme", name: "Acme account", client_id: client.client_id, client_secret_file: secret },
  };
  const file = join(folder, "issuers.json");
  await writeFile(file, JSON.stringify([issuer]));
  return file;
}

/** Signs in at the page of the provider, and agrees that it tells the service who this is. */
export async function signInAtProvider(page: Page, name: string): Promise<void> {
  await page.getByPlaceholder("Enter any login").fill(name);
  await page.getByPlaceholder("and password").fill("any");
  await page.getByRole("button", { name: "Sign-in" }).click();
  await page.getByRole("button", { name: "Continue" }).click();
}

/** Sends a request, and returns the body of the answer, which must be a success. */
export async function post<T>(url: string, body: Json, key?: string): Promise<T> {
  const headers = { "Content-Type": "application/json", ...(key !== undefined && { Authorization: `Bearer ${key}` }) };
  const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
  const text = await answer.text();
  expect(answer.ok, `${url}: ${answer.status} ${text}`).toBe(true);
  return JSON.parse(text) as T;
}
