// Secrets as people paste them: with the header, quotation marks or line breaks of the place where they were copied.

/** Whitespace, characters without width, and quotation marks. No secret and no token contains them. */
const FOREIGN = /[\s\u200b-\u200d\u2060\ufeff"'`\u2018\u2019\u201c\u201d]/g;
const BEFORE = /^[\s\u200b-\u200d\u2060\ufeff"'`\u2018\u2019\u201c\u201d]+/;

/** What precedes a secret in a request: the option of curl, and the name of the header or the scheme. */
const PREFIX = /^(?:-H\s|authorization\s*:|x-api-key\s*:|bearer\s)/i;

/** The secret or token in a pasted text: without quotation marks, whitespace, and the header that it was copied with. */
export function pastedSecret(text: string): string {
  let rest = text.replace(BEFORE, "");
  while (PREFIX.test(rest)) {
    rest = rest.replace(PREFIX, "").replace(BEFORE, "");
  }
  return rest.replace(FOREIGN, "");
}

/** Whether a text is so long that it may be a whole secret. A long external id may be, too. */
export function isProbablySecret(text: string): boolean {
  return /\S{40,}/.test(text);
}
