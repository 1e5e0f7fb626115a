// Dark or light: the system's wish, unless the reader has another. The wish is all that is kept in the browser.

export type Theme = "system" | "light" | "dark";

const NAME = "claviger-theme";

/** Does something with the browser's store, where there is one: it can be switched off. */
function stored<T>(act: (store: Storage) => T): T | undefined {
  try {
    return act(localStorage);
  } catch {
    return undefined;
  }
}

export function storedTheme(): Theme {
  const text = stored((store) => store.getItem(NAME));
  return text === "light" || text === "dark" ? text : "system";
}

export function applyTheme(theme: Theme): void {
  if (theme === "system") {
    delete document.documentElement.dataset.theme;
    stored((store) => store.removeItem(NAME));
  } else {
    document.documentElement.dataset.theme = theme;
    stored((store) => store.setItem(NAME, theme));
  }
  window.dispatchEvent(new Event("themechange"));
}
