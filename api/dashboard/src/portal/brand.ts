// The look of the portal: its theme, and colors that are readable whatever color the organization has chosen.

import type { Session } from "./api.ts";

type Rgb = [number, number, number];

/** Parses `#rrggbb`. */
function parseColor(text: string): Rgb {
  const at = (start: number) => Number.parseInt(text.slice(start, start + 2), 16);
  return [at(1), at(3), at(5)];
}

function formatColor(color: Rgb): string {
  return `#${color.map((part) => Math.round(part).toString(16).padStart(2, "0")).join("")}`;
}

/** The relative luminance of a color (WCAG 2.2). */
function luminance(color: Rgb): number {
  const [red, green, blue] = color.map((part) => {
    const share = part / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  }) as Rgb;
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/** The contrast ratio of two colors as `#rrggbb` (WCAG 2.2): 1 to 21. */
export function contrast(one: string, other: string): number {
  const [dark, light] = [luminance(parseColor(one)), luminance(parseColor(other))].sort((left, right) => left - right);
  return ((light ?? 0) + 0.05) / ((dark ?? 0) + 0.05);
}

/** The least contrast of text (WCAG 2.2 §1.4.3). */
export const MIN_CONTRAST = 4.5;

/** The colors of texts on a button. */
const TEXTS = ["#ffffff", "#161920"];

/** The color of the text on a button of this color. */
export function textOn(color: string): string {
  const [light = "", dark = ""] = TEXTS;
  return contrast(color, light) >= contrast(color, dark) ? light : dark;
}

/** The color, mixed with black or white until it is readable as a text on this background. */
export function readableOn(color: string, background: string): string {
  const target: Rgb = luminance(parseColor(background)) > 0.5 ? [0, 0, 0] : [255, 255, 255];
  const own = parseColor(color);
  for (let step = 0; step <= 20; step++) {
    const mixed = formatColor(own.map((part, at) => part + ((target[at] ?? 0) - part) * (step / 20)) as Rgb);
    if (contrast(mixed, background) >= MIN_CONTRAST) return mixed;
  }
  return formatColor(target);
}

/** The backgrounds of texts in `base.css`: the muted surfaces, which have the least contrast. */
const BACKGROUNDS = { light: "#f0f1f4", dark: "#1e222b" };

/** Applies the theme and the color of a session to the page. */
export function applyBrand({ theme, color, name }: Session): void {
  const root = document.documentElement;
  if (theme !== "auto") root.dataset.theme = theme;
  if (name !== null) document.title = `API keys – ${name}`;
  if (color === null) return;
  const { light, dark } = BACKGROUNDS;
  root.style.setProperty("--accent", `light-dark(${readableOn(color, light)}, ${readableOn(color, dark)})`);
  root.style.setProperty("--accent-fill", color);
  root.style.setProperty("--accent-text", textOn(color));
}
