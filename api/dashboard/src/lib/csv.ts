// Tables as CSV (RFC 4180), and files for the browser to store.

/** The columns of a table: the name, and the value of a row. */
export type Columns<Row> = readonly (readonly [name: string, value: (row: Row) => unknown])[];

/** How long a file stays available to the browser, in ms. */
const DOWNLOAD_TIMEOUT = 60_000;

export function toCsv<Row>(columns: Columns<Row>, rows: readonly Row[]): string {
  const lines = rows.map((row) => columns.map(([, value]) => cell(value(row))));
  return [columns.map(([name]) => name), ...lines].map((line) => `${line.join(",")}\r\n`).join("");
}

function cell(value: unknown): string {
  const text = value === null || value === undefined ? "" : String(value);
  // Spreadsheets execute a text that begins like this as a formula. Clients choose names and request ids.
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** Offers a text as a file. */
export function download(name: string, type: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  // Not at once: some browsers start to read the file later.
  setTimeout(() => URL.revokeObjectURL(url), DOWNLOAD_TIMEOUT);
}
