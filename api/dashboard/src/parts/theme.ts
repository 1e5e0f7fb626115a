// Dark or light: the system's wish, unless the reader has another. The wish is all that is kept in the browser.

export type Theme = "system" | "light" | "dark";

const NAME = "claviger-theme";

export function storedTheme(): Theme {
  const text = localStorage.getItem(NAME);
  return text === "light" || text === "dark" ? text : "system";
}

export function applyTheme(theme: Theme): void {
  if (theme === "system") {
    delete document.documentElement.dataset.theme;
    localStorage.removeItem(NAME);
  } else {
    document.documentElement.dataset.theme = theme;
    localStorage.setItem(NAME, theme);
  }
  window.dispatchEvent(new Event("themechange"));
}
