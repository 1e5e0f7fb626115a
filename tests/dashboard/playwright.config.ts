import { defineConfig } from "@playwright/test";

const address = process.env.CLAVIGER_URL;
if (address === undefined) throw new Error("CLAVIGER_URL is not set: tests/dashboard/run starts a service and sets it");

export default defineConfig({
  testDir: ".",
  outputDir: process.env.CLAVIGER_RESULTS ?? "results",
  // All tests share one service.
  workers: 2,
  fullyParallel: true,
  timeout: 150_000,
  // On a busy machine a page, a provider and a browser may take longer than the five seconds of the default.
  expect: { timeout: 20_000 },
  // In CI a test that fails is repeated once, and reported as flaky if it then passes.
  retries: process.env.CI === undefined ? 0 : 1,
  forbidOnly: true,
  reporter: [["list"]],
  projects: [
    { name: "journeys", testIgnore: "size.spec.ts" },
    // After the others, because it measures a time.
    { name: "size", testMatch: "size.spec.ts", fullyParallel: false, dependencies: ["journeys"] },
  ],
  use: {
    baseURL: address,
    viewport: { width: 1280, height: 860 },
    colorScheme: "light",
    timezoneId: "Europe/Berlin",
    trace: "retain-on-failure",
    permissions: ["clipboard-read", "clipboard-write"],
    launchOptions: {
      executablePath: process.env.CLAVIGER_CHROMIUM ?? "/usr/bin/chromium",
      args: [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
      ],
    },
  },
});
