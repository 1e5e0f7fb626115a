// The header of a column that sorts a table when it is clicked.

import { ArrowDown, ArrowUp, ArrowUpDown } from "lucide-react";

interface Props<Sort extends string> {
  label: string;
  /** The sort order of the first click, and the opposite one. */
  orders: readonly [Sort, Sort];
  sort: Sort;
  onSort: (sort: Sort) => void;
  className?: string;
  /** What the column has, as the tooltip. */
  title?: string;
}

export function SortHeader<Sort extends string>({ label, orders, sort, onSort, className, title }: Props<Sort>) {
  const isSorted = orders.includes(sort);
  const isDescending = sort.startsWith("-");
  const Icon = isSorted ? (isDescending ? ArrowDown : ArrowUp) : ArrowUpDown;
  return (
    <th
      scope="col"
      className={className}
      aria-sort={isSorted ? (isDescending ? "descending" : "ascending") : undefined}
    >
      <button
        type="button"
        className="sort"
        title={title}
        onClick={() => onSort(sort === orders[0] ? orders[1] : orders[0])}
      >
        {label} <Icon size={14} aria-hidden className={isSorted ? "" : "unsorted"} />
      </button>
    </th>
  );
}
