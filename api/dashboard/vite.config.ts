import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

/** Where `npm run dev` sends what is not part of the page. */
const SERVICE = process.env.CLAVIGER_URL ?? "http://127.0.0.1:8080";
const API = ["/orgs", "/me", "/session", "/api_keys", "/openapi.json", "/docs"];

export default defineConfig({
  plugins: [react()],
  build: {
    outDir: "dist",
    target: "es2023",
    // The page's policy allows no inline script and no data: addresses.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // Those whose work is in the page are named in it.
    license: { fileName: "licenses.md" },
  },
  server: { proxy: Object.fromEntries(API.map((path) => [path, SERVICE])) },
});
