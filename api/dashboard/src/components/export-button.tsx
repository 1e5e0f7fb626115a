// A button that reads all pages of a list and offers them as a file. It shows the progress, and can be stopped.

import { Download } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { ErrorNotice } from "./ui/error-notice.tsx";

/** The state of an export, and what starts and stops it. */
export interface Export {
  /** Number of items that were read; null: no export is running. */
  progress: number | null;
  error: unknown;
  /** Reads all pages, and passes the items to `write`. */
  run: <T>(
    read: (cursor: string | undefined, signal: AbortSignal) => Promise<{ items: T[]; next: string | null }>,
    write: (items: T[], signal: AbortSignal) => void | Promise<void>,
  ) => Promise<void>;
  stop: () => void;
}

export function useExport(): Export {
  const [progress, setProgress] = useState<number | null>(null);
  const [error, setError] = useState<unknown>(null);
  const abort = useRef<AbortController>(null);
  useEffect(() => () => abort.current?.abort(), []);
  const run: Export["run"] = async (read, write) => {
    const controller = new AbortController();
    abort.current = controller;
    setError(null);
    setProgress(0);
    try {
      const all: Awaited<ReturnType<typeof read>>["items"] = [];
      let cursor: string | undefined;
      do {
        const page = await read(cursor, controller.signal);
        all.push(...page.items);
        setProgress(all.length);
        cursor = page.next ?? undefined;
      } while (cursor !== undefined);
      await write(all, controller.signal);
    } catch (error) {
      if (!controller.signal.aborted) setError(error);
    } finally {
      setProgress(null);
    }
  };
  return { progress, error, run, stop: () => abort.current?.abort() };
}

interface Props {
  state: Export;
  /** What is exported, in the plural. */
  items: string;
  /** The labels of the buttons, and what they start. */
  formats: readonly (readonly [label: string, start: () => void])[];
}

export function ExportButtons({ state, items, formats }: Props) {
  if (state.progress !== null) {
    return (
      <span className="row" role="status">
        {state.progress.toLocaleString("en")} {items} so far
        <button type="button" onClick={state.stop}>
          Stop
        </button>
      </span>
    );
  }
  return (
    <>
      {state.error !== null && <ErrorNotice error={state.error} />}
      {formats.map(([label, start]) => (
        <button key={label} type="button" onClick={start}>
          <Download size={17} aria-hidden /> {label}
        </button>
      ))}
    </>
  );
}
