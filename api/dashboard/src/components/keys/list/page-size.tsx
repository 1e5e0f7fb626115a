// The number of keys on a page.

import { DEFAULT_PAGE_SIZE, PAGE_SIZES } from "../../../lib/keys/key-filters.ts";

interface Props {
  size: number;
  /** Called with the value for the address: empty for the default. */
  onChange: (text: string) => void;
}

export function PageSize({ size, onChange }: Props) {
  return (
    <select
      aria-label="Keys on a page"
      className="small auto-width"
      value={size}
      onChange={(event) => onChange(Number(event.target.value) === DEFAULT_PAGE_SIZE ? "" : event.target.value)}
    >
      {PAGE_SIZES.map((size) => (
        <option key={size} value={size}>
          {size} per page
        </option>
      ))}
    </select>
  );
}
