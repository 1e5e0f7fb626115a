// A number with separators between thousands.

export function FormattedNumber({ value }: { value: number }) {
  return <>{value.toLocaleString("en")}</>;
}
