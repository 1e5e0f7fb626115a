// A secret that was pasted into the search of keys, on its way to the page that tries it. It is in memory only, and only until that
// page takes it: never in the address or in the browser's storage.

let stored: string | null = null;

export function storeSecretToTry(secret: string): void {
  stored = secret;
}

/** Whether there is a secret to take. */
export function hasSecretToTry(): boolean {
  return stored !== null;
}

/** The secret, once. Null: there is none. */
export function takeSecretToTry(): string | null {
  const secret = stored;
  stored = null;
  return secret;
}
