// The customers' portal: inside a shop of another origin, and the settings of it in the dashboard.

import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { test as base, expect, type Frame, type Page } from "@playwright/test";
import { isAccessible, picture, signIn, test, visit } from "./browser.ts";
import { Caller, ORIGIN, signUp } from "./service.ts";

/** A red dot. */
const LOGO =
  "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";

interface Shop {
  server: Server;
  origin: string;
}

/** A shop whose page embeds the link in its query. Its host is another site than the service, which is at 127.0.0.1. */
async function startShop(): Promise<Shop> {
  const server = createServer((request, response) => {
    const link = new URL(request.url ?? "", "http://localhost").searchParams.get("link") ?? "about:blank";
    response.setHeader("Content-Type", "text/html; charset=utf-8");
    response.end(`<!doctype html>
      <html lang="en">
        <head><title>Demo shop</title><meta name="viewport" content="width=device-width" /></head>
        <body>
          <main>
            <h1>Demo shop</h1>
            <iframe src="${link.replaceAll("&", "&amp;")}" title="API keys" width="100%" height="600"
              allow="clipboard-write" style="border: 0"></iframe>
          </main>
        </body>
      </html>`);
  });
  await new Promise<void>((resolve) => server.listen(0, "localhost", resolve));
  return {
    server,
    origin: `http://localhost:${(server.address() as AddressInfo).port}`,
  };
}

const shops = base.extend<{ shop: Shop; otherShop: Shop }>({
  shop: async ({}, use) => {
    const shop = await startShop();
    await use(shop);
    shop.server.close();
  },
  otherShop: async ({}, use) => {
    const shop = await startShop();
    await use(shop);
    shop.server.close();
  },
});

const CUSTOMER = "customer-1";

/** The backend of the shop: creates a session for its customer. Returns the link. */
async function createLink(backend: Caller, settings: Record<string, unknown> = {}): Promise<string> {
  const session = await backend.call<{ url: string }>("POST", `/orgs/${backend.org}/portal_sessions`, {
    external_id: CUSTOMER,
    allowed: ["create", "rotate", "revoke", "usage"],
    permissions_ceiling: ["files:read", "files:write"],
    ...settings,
  });
  // A service that chooses its port does not know it in its public URL.
  return `${ORIGIN}${session.url.slice(session.url.indexOf("/portal?"))}`;
}

/** Opens the page of a shop that embeds a link. Returns the frame. */
async function embed(page: Page, { origin }: Shop, link: string): Promise<Frame> {
  await page.goto(`${origin}/?link=${encodeURIComponent(link)}`);
  const frame = await (await page.locator("iframe").elementHandle())?.contentFrame();
  if (frame === null || frame === undefined) throw new Error("the page has no frame");
  return frame;
}

/** The new secret that the frame shows, and closes it. */
async function takeSecret(frame: Frame): Promise<string> {
  const secret = (await frame.getByLabel("The new secret", { exact: true }).textContent()) ?? "";
  expect(secret).toMatch(/^cvg_[0-9A-Za-z]{49}$/);
  await frame.getByRole("button", { name: "I have stored it" }).click();
  await expect(frame.getByLabel("The new secret", { exact: true })).toHaveCount(0);
  return secret;
}

shops(
  "a customer makes and rotates a key inside a shop of another origin, and reaches nothing else",
  async ({ page, shop }) => {
    const admin = await signUp("Acme Corp");
    const portal = {
      name: "Acme keys",
      color: "#ffd43b",
      logo: LOGO,
      origins: [shop.origin],
    };
    await admin.call("PATCH", `/orgs/${admin.org}/portal`, portal);
    const others = { can_manage: false, external_id: "customer-2" };
    const other = await admin.createKey({
      name: "Another customer's",
      ...others,
    });
    const backend = await admin.createKey({
      name: "Backend of the shop",
      permissions: ["portal_sessions:write", "files:*"],
    });
    const link = await createLink(new Caller(backend.key, admin.org), {
      return_url: `${shop.origin}/account`,
    });
    const errors: string[] = [];
    page.on("pageerror", (error) => errors.push(error.message));
    page.on("console", (message) => {
      if (message.type() === "error" && !message.text().startsWith("Failed to load resource"))
        errors.push(message.text());
    });
    const frame = await embed(page, shop, link);
    await expect(frame.getByRole("heading", { level: 1, name: "Acme keys" })).toBeVisible();
    await expect(frame.getByText("You have no API keys yet")).toBeVisible();
    expect(frame.url(), "the secret is not in the address any more").toBe(link.slice(0, link.indexOf("#")));
    await isAccessible(page);

    // A key is created, works, and is rotated.
    await frame.getByRole("button", { name: "Create key" }).click();
    await frame.getByLabel("Name").fill("Continuous integration");
    await frame.getByRole("checkbox", { name: "files:write" }).uncheck();
    await isAccessible(page);
    await frame.getByRole("dialog").getByRole("button", { name: "Create key" }).click();
    await expect(frame.getByText("You will not see this secret again.")).toBeVisible();
    await isAccessible(page);
    await frame.getByRole("button", { name: "Copy secret" }).click();
    await expect(frame.getByText("Copied")).toBeVisible();
    const first = await takeSecret(frame);
    expect(await frame.content(), "the secret is not in the page any more").not.toContain(first);
    expect(await admin.verify(first, ["files:read"])).toBe("VALID");
    expect(await admin.verify(first, ["files:write"])).toBe("INSUFFICIENT_PERMISSIONS");
    await frame.getByRole("button", { name: "Rotate Continuous integration" }).click();
    await frame.getByLabel("None: the previous secret is invalid at once").check();
    await isAccessible(page);
    await frame.getByRole("button", { name: "Rotate key" }).click();
    const second = await takeSecret(frame);
    expect(second).not.toBe(first);
    expect(await admin.verify(second, ["files:read"])).toBe("VALID");
    expect(await admin.verify(first)).toBe("INVALID_API_KEY");
    await frame.getByRole("button", { name: "Usage of Continuous integration" }).click();
    await expect(frame.getByRole("img", { name: /requests in the last 30 days/ })).toBeVisible();
    await isAccessible(page);
    await frame.getByRole("button", { name: "Close" }).click();

    // Nothing of the organization is there, and the frame fits into a narrow page.
    await expect(frame.getByText("Another customer's")).toHaveCount(0);
    await expect(frame.getByRole("listitem").filter({ hasText: "Continuous integration" })).toBeVisible();
    await picture(page, "portal");
    await page.setViewportSize({ width: 320, height: 700 });
    await isAccessible(page);
    const overflow = await frame.evaluate(
      () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
    );
    expect(overflow, "pixels wider than the frame").toBeLessThanOrEqual(0);

    // The script of the shop reaches neither the frame nor the service.
    const reached = await page.evaluate(
      async ([service, org, key]) => {
        const read = async (path: string, init: RequestInit = {}) => {
          try {
            const answer = await fetch(`${service}${path}`, {
              credentials: "include",
              ...init,
            });
            return `${answer.type} ${answer.status}`;
          } catch (error) {
            return (error as Error).name;
          }
        };
        const inside = () => {
          try {
            const own = document.querySelector("iframe");
            return [String(own?.contentDocument), String(own?.contentWindow?.document)];
          } catch (error) {
            return [(error as Error).name];
          }
        };
        return {
          inside: inside(),
          requests: await Promise.all([
            read("/portal/session"),
            read("/portal/api_keys"),
            read(`/orgs/${org}/api_keys`),
            read("/me"),
            read("/portal/api_keys", {
              headers: { Authorization: "Bearer cvp_x" },
            }),
            read(`/portal/api_keys/${key}`, { method: "DELETE" }),
          ]),
        };
      },
      [ORIGIN, admin.org, other.id] as const,
    );
    expect(reached.inside).toEqual(["SecurityError"]);
    expect(new Set(reached.requests)).toEqual(new Set(["TypeError"]));
    errors.splice(0, errors.length, ...errors.filter((text) => !text.includes("blocked by CORS policy")));
    // Neither does the script of the frame: its token is for the portal alone, and no other one is there.
    const fromFrame = await frame.evaluate(async (org) => {
      const status = async (path: string) => (await fetch(path, { credentials: "include" })).status;
      // Browsers may give a frame of another site no storage at all.
      const items = () => {
        try {
          return localStorage.length;
        } catch {
          return 0;
        }
      };
      const stored = [items(), document.cookie];
      return {
        stored,
        statuses: [await status(`/orgs/${org}/api_keys`), await status("/me")],
      };
    }, admin.org);
    expect(fromFrame).toEqual({ stored: [0, ""], statuses: [401, 401] });
    expect(errors, "errors that the browser reported").toEqual([]);

    // The key is revoked, and the customer signs out.
    await page.setViewportSize({ width: 1280, height: 860 });
    await frame.getByRole("button", { name: "Revoke Continuous integration" }).click();
    await frame.getByRole("button", { name: "Revoke key" }).click();
    await expect(frame.getByText("Continuous integration is revoked.")).toBeVisible();
    expect(await admin.verify(second)).toBe("INVALID_API_KEY");
    expect(await admin.verify(other.key), "that of another customer is unchanged").toBe("VALID");
    await frame.getByRole("button", { name: "Sign out" }).click();
    await expect(frame.getByRole("heading", { name: "You are signed out" })).toBeVisible();
    await isAccessible(page);
    await frame.getByRole("link", { name: "Back" }).click();
    await expect(page, "the whole page, not the frame").toHaveURL(`${shop.origin}/account`);
  },
);

shops("a link is opened once", async ({ page, shop }) => {
  const admin = await signUp();
  await admin.call("PATCH", `/orgs/${admin.org}/portal`, {
    origins: [shop.origin],
  });
  const link = await createLink(admin, { allowed: [], theme: "dark" });
  const frame = await embed(page, shop, link);
  await expect(frame.getByRole("heading", { level: 1, name: "Acme Corp" })).toBeVisible();
  await expect(frame.getByRole("button", { name: "Create key" }), "not allowed").toHaveCount(0);
  expect(await frame.evaluate(() => document.documentElement.dataset.theme)).toBe("dark");
  await isAccessible(page);
  await page.reload();
  const again = page.frameLocator("iframe");
  await expect(
    again.getByText("The link is unknown, expired, revoked or was opened", {
      exact: false,
    }),
  ).toBeVisible();
});

shops("a page that is not listed cannot embed the portal", async ({ page, shop, otherShop }) => {
  const admin = await signUp();
  await admin.call("PATCH", `/orgs/${admin.org}/portal`, {
    origins: [shop.origin],
  });
  const link = await createLink(admin);
  const refused = page.waitForEvent("console", (message) => message.text().includes("frame-ancestors"));
  const blocked = await embed(page, otherShop, link);
  await refused;
  await expect(blocked.getByRole("heading", { name: "Your API keys" })).toHaveCount(0);
  // The dashboard cannot be embedded by any page.
  const dashboard = page.waitForEvent("console", (message) => message.text().includes("frame-ancestors"));
  await embed(page, shop, `${ORIGIN}/`);
  await dashboard;
  // The link was not used: the listed page embeds it.
  const frame = await embed(page, shop, link);
  await expect(frame.getByRole("heading", { name: "Your API keys" })).toBeVisible();
});

test("the page says in plain words that a key would break a rule", async ({ page }) => {
  const admin = await signUp();
  await page.goto(await createLink(admin));
  await expect(page.getByText("You have no API keys yet")).toBeVisible();
  // After the session was created.
  const key_policy = { addresses_required_for: ["files:write"] };
  await admin.call("PATCH", `/orgs/${admin.org}`, { key_policy });
  await page.getByRole("button", { name: "Create key" }).click();
  const dialog = page.getByRole("dialog", { name: "Create an API key" });
  await dialog.getByLabel("Name").fill("n");
  await dialog.getByRole("button", { name: "Create key" }).click();
  const alert = dialog.getByRole("alert");
  await expect(alert).toHaveText(
    "A rule of the provider does not allow this key. Choose fewer permissions, or contact their support.",
  );
  await dialog.getByLabel("files:write").uncheck();
  await dialog.getByRole("button", { name: "Create key" }).click();
  await expect(page.getByLabel("The new secret", { exact: true })).toBeVisible();
});

test("an administrator lists the open sessions, and ends one", async ({ page, context }) => {
  const admin = await signUp();
  const portal = await context.newPage();
  await portal.goto(await createLink(admin));
  await expect(portal.getByText("You have no API keys yet")).toBeVisible();
  await createLink(admin, { external_id: "customer-2" });
  await signIn(page, admin);
  await visit(page, admin, "organization", "Organization");
  const sessions = page.getByRole("region", { name: "Open sessions" });
  await expect(sessions.getByRole("row").filter({ hasText: "customer-2" })).toContainText("not opened yet");
  await isAccessible(page);
  await picture(page, "portal-sessions");
  await sessions.getByRole("button", { name: `End the session of ${CUSTOMER}` }).click();
  await expect(page.getByText("The session is ended.")).toBeVisible();
  await expect(sessions.getByRole("row").filter({ hasText: CUSTOMER })).toHaveCount(0);
  await portal.getByRole("button", { name: "Create key" }).click();
  await portal.getByLabel("Name").fill("n");
  await portal.getByRole("dialog").getByRole("button", { name: "Create key" }).click();
  await expect(portal.getByRole("heading", { name: "Your session has ended" })).toBeVisible();
});

test("an administrator sets up the portal, which is opened as a page of its own", async ({ page }) => {
  const admin = await signUp();
  await signIn(page, admin);
  await visit(page, admin, "organization", "Organization");
  const settings = page.getByRole("region", { name: "Portal" });
  await settings.getByLabel("Name").fill("Acme keys");
  await settings.getByLabel("Color").fill("#3b5bdb");
  const image = {
    name: "logo.png",
    mimeType: "image/png",
    buffer: Buffer.from(LOGO.split(",")[1] ?? "", "base64"),
  };
  await settings.getByLabel("Logo").setInputFiles(image);
  await settings
    .getByLabel("Websites that can embed the portal")
    .fill("https://shop.example.com\nhttps://shop.example.com/path");
  await settings.getByRole("button", { name: "Save" }).click();
  await expect(settings.getByRole("alert")).toContainText("Origins must contain origins such as");
  await settings.getByLabel("Websites that can embed the portal").fill("https://shop.example.com");
  await settings.getByRole("button", { name: "Save" }).click();
  await expect(page.getByText("Saved.")).toBeVisible();
  await isAccessible(page);
  expect(await admin.call("GET", `/orgs/${admin.org}/portal`)).toEqual({
    name: "Acme keys",
    color: "#3b5bdb",
    logo: LOGO,
    origins: ["https://shop.example.com"],
  });
  await page.goto(await createLink(admin));
  await expect(page.getByRole("heading", { level: 1, name: "Acme keys" })).toBeVisible();
  await isAccessible(page);
  await expect(page).toHaveTitle("API keys – Acme keys");
});
