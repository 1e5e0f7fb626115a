// A placeholder while data is loading.

export function Loading({ lines = 4, label = "Loading" }: { lines?: number; label?: string }) {
  return (
    <div className="stack" role="status" aria-label={label}>
      {Array.from({ length: lines }, (_, line) => `${line}`).map((line) => (
        <div key={line} className="skeleton" />
      ))}
    </div>
  );
}
