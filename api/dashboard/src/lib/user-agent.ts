// The device of a session in plain words, from the header `User-Agent` of its browser.

/** Browsers by a part of their header, the first match counts: most headers also name the browsers that they imitate. */
const BROWSERS: [RegExp, string][] = [
  [/\bEdgA?(?:iOS)?\//, "Edge"],
  [/\bOPR\//, "Opera"],
  [/\bSamsungBrowser\//, "Samsung Internet"],
  [/\b(?:Firefox|FxiOS)\//, "Firefox"],
  [/\b(?:Chrome|CriOS|HeadlessChrome)\//, "Chrome"],
  [/\bVersion\/.*\bSafari\//, "Safari"],
];

/** Systems by a part of the header, the first match counts. */
const SYSTEMS: [RegExp, string][] = [
  [/\b(?:iPhone|iPad|iPod)\b/, "iOS"],
  [/\bAndroid\b/, "Android"],
  [/\bWindows\b/, "Windows"],
  [/\b(?:Macintosh|Mac OS X)\b/, "macOS"],
  [/\bCrOS\b/, "ChromeOS"],
  [/\b(?:Linux|X11)\b/, "Linux"],
];

const find = (names: [RegExp, string][], text: string) => names.find(([part]) => part.test(text))?.[1];

/** "Firefox on Windows"; of another program its name, such as "curl". */
export function deviceName(userAgent: string | null): string {
  if (userAgent === null) return "Unknown device";
  const browser = find(BROWSERS, userAgent);
  const system = find(SYSTEMS, userAgent);
  if (browser === undefined && system === undefined) return userAgent.split(/[\s/]/, 1)[0] || "Unknown device";
  if (system === undefined) return browser ?? "Unknown device";
  return `${browser ?? "Browser"} on ${system}`;
}
