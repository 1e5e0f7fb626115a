// The values of the key form: read from a key, checked, compared, and turned into request bodies.

import type { Key, Schemas } from "../../api/client.ts";
import { FIELD_LIST, type KeyFieldName, type KeyFormValues, requestFields, type Settings } from "./key-fields.ts";
import { withoutRedundant } from "../permissions.ts";
import { fromDateTimeInput } from "../time.ts";

/** Error messages by the API's name of the field. */
export type FieldErrors = Record<string, string>;

function valuesBy(read: (row: (typeof FIELD_LIST)[number][1]) => unknown): KeyFormValues {
  return Object.fromEntries(FIELD_LIST.map(([name, row]) => [name, read(row)])) as unknown as KeyFormValues;
}

/** The form for a new key. */
export const EMPTY_FORM = valuesBy((row) => row.initial);

/** The form for an existing key. */
export function formFromKey(key: Key): KeyFormValues {
  return valuesBy((row) => row.fromKey(key));
}

/** What is wrong with the form at `now`. `original` is the form before it was edited; for a new key, the empty one. */
export function validate(form: KeyFormValues, original = EMPTY_FORM, now = Date.now()): FieldErrors {
  const errors: FieldErrors = {};
  for (const [name, row] of FIELD_LIST) {
    // What was not edited is not sent, so it cannot be wrong.
    if (isSame(form[name], original[name])) continue;
    const error = row.validate?.(form[name]);
    const [field] = requestFields(row);
    if (error !== undefined && field !== undefined) errors[field] = error;
  }
  if (original.remaining !== "" && form.remaining === "" && form.refill.count !== "") {
    errors.remaining = "Clear the refill, too: it sets the uses that are left.";
  }
  // A key from sign-up has no name, and other settings of it can be changed without adding one.
  const isUnnamed = original !== EMPTY_FORM && original.name === "";
  if (form.name.trim() === "" && !isUnnamed) errors.name = "Enter a name, so that others know what the key is for.";
  const expiresAt = fromDateTimeInput(form.expires_at);
  if (expiresAt !== null && form.expires_at !== original.expires_at && Date.parse(expiresAt) <= now) {
    errors.expires_at = "This time is in the past. To stop the key now, disable or revoke it.";
  }
  if (form.expires_at !== "" && form.not_before !== "" && form.expires_at <= form.not_before) {
    errors.expires_at = "The key would expire before it becomes valid.";
  }
  return errors;
}

/** The error of a row: the first of its fields that has one. */
export function errorOf(name: KeyFieldName, errors: FieldErrors): string | undefined {
  const row = FIELD_LIST.find(([other]) => other === name)?.[1];
  return (
    row &&
    requestFields(row)
      .map((field) => errors[field])
      .find((error) => error !== undefined)
  );
}

/** The label of a field of the API, if it is a setting. */
export function settingLabel(field: string): string | undefined {
  return FIELD_LIST.find(([, row]) => requestFields(row).includes(field))?.[1].label;
}

/** The body that creates the key. Fields without a value are left out: only administrators can send limits, even null. */
export function toCreate(form: KeyFormValues): Schemas["CreateApiKeyRequest"] {
  const settings = FIELD_LIST.flatMap(([name, row]) => Object.entries(row.toRequest(form[name])));
  return Object.fromEntries(
    settings.filter(([, value]) => value !== null),
  ) as unknown as Schemas["CreateApiKeyRequest"];
}

/** The body that changes one form into the other: only what differs. */
export function toUpdate(from: KeyFormValues, to: KeyFormValues): Schemas["UpdateApiKeyRequest"] {
  const changed = FIELD_LIST.filter(
    ([name, row]) => !row.isCreateOnly && !isSame(row.toRequest(from[name]), row.toRequest(to[name])),
  );
  return Object.assign(
    {},
    ...changed.map(([name, row]): Settings => row.toRequest(to[name])),
  ) as Schemas["UpdateApiKeyRequest"];
}

function isSame(left: unknown, right: unknown): boolean {
  return JSON.stringify(left) === JSON.stringify(right);
}

/** Applies the edits (`original` to `form`) to a newer version of the key. */
export function rebase(form: KeyFormValues, original: KeyFormValues, latest: KeyFormValues): KeyFormValues {
  const edited = Object.entries(form).filter(([name, value]) => !isSame(value, original[name as KeyFieldName]));
  return { ...latest, ...Object.fromEntries(edited) };
}

export interface Difference {
  label: string;
  before: string;
  after: string;
}

/** What differs, as text, to be reviewed before it is saved. */
export function differences(from: KeyFormValues, to: KeyFormValues, setName: (id: string) => string): Difference[] {
  return FIELD_LIST.filter(([, row]) => !row.isCreateOnly).flatMap(([name, row]) => {
    const [before, after] = [row.format(from[name], setName), row.format(to[name], setName)];
    return before === after ? [] : [{ label: row.label, before, after }];
  });
}

/** The permissions of the key and of its permission sets. */
export function effectivePermissions(
  form: KeyFormValues,
  sets: readonly { id: string; permissions: string[] }[],
): string[] {
  const ofSets = sets.filter((set) => form.permission_sets.includes(set.id)).flatMap((set) => set.permissions);
  return withoutRedundant([...form.permissions, ...ofSets]);
}
