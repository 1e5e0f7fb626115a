import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

/** The service that `npm run dev` proxies API requests to. */
const SERVICE = process.env.CLAVIGER_URL ?? "http://127.0.0.1:8080";
const API = ["/orgs", "/me", "/session", "/api_keys", "/portal/session", "/portal/api_keys", "/openapi.json", "/docs"];

export default defineConfig({
  plugins: [react()],
  // Addresses of files are relative, so that the page works below any path of a proxy.
  base: "./",
  build: {
    outDir: "dist",
    target: "es2023",
    // The content security policy allows no inline scripts and no data: URLs.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // The licenses of the libraries in the bundle.
    license: { fileName: "licenses.md" },
    // Stable names: a change of the source changes the content of files, and adds and deletes none. The service has browsers
    // revalidate them by ETag.
    rolldownOptions: {
      // The dashboard, and the customers' portal.
      input: ["index.html", "portal.html"],
      output: {
        // What both pages load.
        codeSplitting: { groups: [{ name: "shared", minShareCount: 2, entriesAware: false }] },
        entryFileNames: "assets/[name].js",
        chunkFileNames: "assets/[name].js",
        assetFileNames: "assets/[name][extname]",
      },
    },
  },
  server: { proxy: Object.fromEntries(API.map((path) => [path, SERVICE])) },
});
