// The colors of the portal are readable.

import { expect, test } from "vitest";
import { contrast, MIN_CONTRAST, readableOn, textOn } from "./brand.ts";

const COLORS = ["#000000", "#ffffff", "#ffff00", "#3b5bdb", "#808080", "#ff0000", "#00ff00", "#777777", "#f4f4f4"];

test("the contrast is that of WCAG", () => {
  expect(contrast("#000000", "#ffffff")).toBeCloseTo(21);
  expect(contrast("#ffffff", "#ffffff")).toBe(1);
  expect(contrast("#777777", "#ffffff")).toBeCloseTo(4.48, 2);
});

test("every color has a readable text on it", () => {
  for (const color of COLORS) expect(contrast(color, textOn(color)), color).toBeGreaterThanOrEqual(4.1);
  expect(textOn("#ffff00")).toBe("#161920");
  expect(textOn("#3b5bdb")).toBe("#ffffff");
});

test("every color becomes readable on both backgrounds", () => {
  for (const background of ["#f0f1f4", "#1e222b"]) {
    for (const color of COLORS) {
      const readable = readableOn(color, background);
      expect(contrast(readable, background), `${color} on ${background}`).toBeGreaterThanOrEqual(MIN_CONTRAST);
    }
  }
  expect(readableOn("#3b5bdb", "#ffffff")).toBe("#3b5bdb");
});
