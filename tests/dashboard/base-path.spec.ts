// The dashboard below a path of another host, behind a proxy that removes the path from requests, and one that does not.

import { mkdtemp, rm } from "node:fs/promises";
import { createServer, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "@playwright/test";
import { startService } from "./own-service.ts";

/** A proxy that forwards requests below `/keys`. */
class Proxy {
  private target = "";

  private constructor(
    private readonly server: Server,
    readonly origin: string,
  ) {}

  static async start(removesPath: boolean): Promise<Proxy> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const proxy = new Proxy(server, `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    server.on("request", (incoming, outgoing) => {
      const url = incoming.url ?? "/";
      if (!/^\/keys($|[/?])/.test(url)) {
        outgoing.writeHead(404).end("another application");
        return;
      }
      const rest = url.slice("/keys".length);
      const path = removesPath ? (rest.startsWith("/") ? rest : `/${rest}`) : url;
      const { method, headers } = incoming;
      const forwarded = request(proxy.target + path, { method, headers }, (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(outgoing);
      });
      forwarded.on("error", () => outgoing.destroy());
      incoming.pipe(forwarded);
    });
    return proxy;
  }

  forwardTo(target: string): void {
    this.target = target;
  }

  stop(): void {
    this.server.closeAllConnections();
    this.server.close();
  }
}

for (const removesPath of [true, false]) {
  test(`the dashboard works below a path that the proxy ${removesPath ? "removes" : "keeps"}`, async ({ page }) => {
    const folder = await mkdtemp(join(tmpdir(), "claviger-dashboard-"));
    const proxy = await Proxy.start(removesPath);
    const url = `${proxy.origin}/keys`;
    const { service, url: target } = await startService({ CLAVIGER_PUBLIC_ORIGIN: url }, folder);
    proxy.forwardTo(target);
    try {
      const requests: string[] = [];
      const errors: string[] = [];
      page.on("request", (request) => requests.push(request.url()));
      page.on("pageerror", (error) => errors.push(error.message));
      page.on("console", (message) => {
        const isResponse = message.text().startsWith("Failed to load resource");
        if (message.type() === "error" && !isResponse) errors.push(message.text());
      });
      const signedUp = await fetch(`${url}/auth/create-key`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ user_name: "Ada", org_name: "Acme", user_email: "ada@example.com" }),
      });
      const { data } = (await signedUp.json()) as { data: { api_key: string; org_id: string } };
      // Without a slash at the end, addresses relative to the page would be those of the other application.
      await page.goto(url);
      await page.getByText("I have no key yet").click();
      await expect(page.locator("pre")).toContainText(`curl -s -X POST ${url}/auth/create-key`);
      await page.getByLabel("API key or token").fill(data.api_key);
      await page.getByRole("button", { name: "Sign in" }).click();
      await expect(page.getByRole("link", { name: "Create key" })).toBeVisible();
      await expect(page.getByRole("link", { name: "API reference" })).toHaveAttribute("href", "/keys/docs");
      expect((await fetch(`${url}/docs`)).status).toBe(200);
      const [cookie] = await page.context().cookies(url);
      expect(cookie).toMatchObject({ name: "apiKeyCookie", path: "/keys", httpOnly: true });
      // The page with the chart loads another script.
      const verified = await fetch(`${url}/api_keys/verify`, {
        method: "POST",
        headers: { Authorization: `Bearer ${data.api_key}`, "Content-Type": "application/json" },
        body: JSON.stringify({ key: data.api_key }),
      });
      expect(verified.status).toBe(200);
      await page.goto(`${url}/#/orgs/${data.org_id}/overview`);
      await expect(async () => {
        await page.reload();
        await expect(page.getByRole("img", { name: /^Verifications by hour/ })).toBeVisible({ timeout: 1_000 });
      }).toPass();
      expect(requests).toContain(`${url}/assets/usage-chart.js`);
      await page.getByRole("button", { name: "Sign out", exact: true }).click();
      await expect(page.getByRole("heading", { name: "Sign in" })).toBeVisible();
      const others = requests.filter((requested) => requested !== url && !requested.startsWith(`${url}/`));
      expect(others, "requests outside of the path").toEqual([]);
      expect(errors, "errors that the browser reported").toEqual([]);
    } finally {
      service.kill();
      proxy.stop();
      await rm(folder, { recursive: true, force: true });
    }
  });
}
