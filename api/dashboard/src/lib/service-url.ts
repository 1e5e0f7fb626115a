// Where the service is. A proxy may serve it below a path, which the page finds by the address of its own script.

/** The path of the service that has the script `assets/index.js`, without a slash at its end: empty, or such as `/keys`. */
export function basePathOf(scriptUrl: string): string {
  return new URL("..", scriptUrl).pathname.replace(/\/$/, "");
}

// The files of the development server are in other folders.
export const BASE_PATH = import.meta.env.DEV ? "" : basePathOf(import.meta.url);

/** The URL of the service for examples, without a slash at its end. */
export const serviceUrl = () => `${location.origin}${BASE_PATH}`;
