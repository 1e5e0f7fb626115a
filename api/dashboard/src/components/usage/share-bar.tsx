// A bar that compares the counts of the lines of a list. The numbers are beside it as text.

interface Props {
  valid: number;
  refused: number;
  /** The largest sum of a line. */
  total: number;
}

export function ShareBar({ valid, refused, total }: Props) {
  const width = (count: number) => (total === 0 ? 0 : (100 * count) / total);
  return (
    <svg className="share-bar" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden>
      <rect className="valid" width={width(valid)} height="4" />
      <rect className="refused" x={width(valid)} width={width(refused)} height="4" />
    </svg>
  );
}
