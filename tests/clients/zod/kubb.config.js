import { defineConfig } from "@kubb/core";
import { pluginOas } from "@kubb/plugin-oas";
import { pluginZod } from "@kubb/plugin-zod";

export default defineConfig({
  root: ".",
  input: { path: process.env.OPENAPI_DOCUMENT },
  output: { path: "./kubb", clean: true, extension: { ".ts": ".ts" } },
  plugins: [pluginOas({ generators: [] }), pluginZod({ output: { path: "." }, version: "4" })],
});
