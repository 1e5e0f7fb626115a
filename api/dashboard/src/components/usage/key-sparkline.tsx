// A small chart of the verifications of a key by day, for a row of a table.

import { FormattedNumber } from "../ui/formatted-number.tsx";

const [BAR_WIDTH, BAR_DISTANCE, HEIGHT] = [6, 8, 20];

/** `values`: the number of verifications of each day, the oldest first. */
export function KeySparkline({ values }: { values: number[] }) {
  const total = values.reduce((sum, value) => sum + value, 0);
  if (total === 0) return <span className="muted">none</span>;
  const most = Math.max(...values);
  const counted = total === 1 ? "1 verification" : `${total.toLocaleString("en")} verifications`;
  const days = values.map((value) => value.toLocaleString("en")).join("; ");
  const label = `${counted} in the last ${values.length} days (UTC), valid and refused. By day: ${days}`;
  return (
    <span className="sparkline">
      <svg
        role="img"
        aria-label={label}
        width={values.length * BAR_DISTANCE}
        height={HEIGHT}
        viewBox={`0 0 ${values.length * BAR_DISTANCE} ${HEIGHT}`}
      >
        <title>{label}</title>
        {values.map((value, day) => {
          // A day with few verifications is higher than one without.
          const height = value === 0 ? 1 : Math.max(3, (HEIGHT * value) / most);
          return (
            <rect
              key={day}
              className={value === 0 ? "none" : ""}
              x={day * BAR_DISTANCE}
              y={HEIGHT - height}
              width={BAR_WIDTH}
              height={height}
            />
          );
        })}
      </svg>
      <span className="small" aria-hidden>
        <FormattedNumber value={total} />
      </span>
    </span>
  );
}
