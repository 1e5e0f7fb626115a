// The theme: that of the system, or the user's choice, which is all that the dashboard stores in the browser.

export type Theme = "system" | "light" | "dark";

const STORAGE_KEY = "claviger-theme";

/** Uses the browser's storage. Returns undefined if it is disabled. */
function withStorage<T>(operation: (storage: Storage) => T): T | undefined {
  try {
    return operation(localStorage);
  } catch {
    return undefined;
  }
}

export function storedTheme(): Theme {
  const text = withStorage((storage) => storage.getItem(STORAGE_KEY));
  return text === "light" || text === "dark" ? text : "system";
}

/** Applies and stores a theme. Charts listen for the event `themechange`. */
export function applyTheme(theme: Theme): void {
  if (theme === "system") {
    delete document.documentElement.dataset.theme;
    withStorage((storage) => storage.removeItem(STORAGE_KEY));
  } else {
    document.documentElement.dataset.theme = theme;
    withStorage((storage) => storage.setItem(STORAGE_KEY, theme));
  }
  window.dispatchEvent(new Event("themechange"));
}
