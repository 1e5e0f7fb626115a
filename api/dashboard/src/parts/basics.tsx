// The small signs that every page is made of.

import { CircleAlert, CircleCheck, Info, TriangleAlert } from "lucide-react";
import { type ReactNode, useEffect, useRef, useState } from "react";
import { Problem } from "../api/client.ts";
import { parse } from "../rules/permissions.ts";
import type { Status } from "../rules/status.ts";
import { exact, MINUTE, relative } from "../rules/time.ts";
import { explain } from "../rules/words.ts";

/** The moment that it is, to the half minute: what is shown relative to it goes on by itself. */
export function useNow(every: number = MINUTE / 2): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), every);
    return () => clearInterval(timer);
  }, [every]);
  return now;
}

/** A moment in relative words, the exact one when asked for. */
export function Time({ at, none = "never" }: { at: string | null; none?: string }) {
  const now = useNow();
  if (at === null) return <span className="faint">{none}</span>;
  return (
    <time dateTime={at} title={exact(at)} className="nowrap">
      {relative(at, now)}
    </time>
  );
}

const TONES: Record<Status, string> = {
  active: "good",
  "expiring soon": "warn",
  rotating: "info",
  "used up": "warn",
  "not yet valid": "info",
  expired: "bad",
  disabled: "",
  revoked: "bad",
};

export function StatusBadge({ status }: { status: Status }) {
  return <span className={`badge ${TONES[status]}`}>{status.charAt(0).toUpperCase() + status.slice(1)}</span>;
}

/** Permissions as chips; the sets that give more come after, by name. */
export function Chips({ of, sets = [], most = 6 }: { of: readonly string[]; sets?: readonly string[]; most?: number }) {
  const [isWhole, setWhole] = useState(false);
  if (of.length + sets.length === 0) return <span className="faint">none</span>;
  const rest = isWhole ? 0 : of.length - most;
  return (
    <ul className="chips">
      {(isWhole ? of : of.slice(0, most)).map((text) => (
        <li key={text} className={`chip ${isAll(text) ? "all" : ""}`}>
          {isAll(text) ? "* everything" : text}
        </li>
      ))}
      {rest > 0 && (
        <li className="chip">
          <button type="button" onClick={() => setWhole(true)}>
            +{rest} more
          </button>
        </li>
      )}
      {sets.map((name) => (
        <li key={name} className="chip set" title="A permission set">
          {name}
        </li>
      ))}
    </ul>
  );
}

function isAll(text: string): boolean {
  const permission = parse(text);
  return permission?.action === "*" && permission.resource === "*";
}

type Tone = "info" | "good" | "warn" | "bad";
const ICONS = { info: Info, good: CircleCheck, warn: TriangleAlert, bad: CircleAlert };

export function Notice({ tone = "info", children }: { tone?: Tone; children: ReactNode }) {
  const Icon = ICONS[tone];
  return (
    <div className={`notice ${tone}`}>
      <Icon size={18} aria-hidden />
      <div>{children}</div>
    </div>
  );
}

/** What went wrong, in words, with the name under which the service's log has it. */
export function Failure({ of, retry }: { of: unknown; retry?: (() => void) | undefined }) {
  return (
    <div role="alert">
      <Notice tone="bad">
        <span>{explain(of)}</span>
        {of instanceof Problem && of.requestId !== null && (
          <span className="small faint">
            Request id <code>{of.requestId}</code>
          </span>
        )}
        {retry !== undefined && !(of instanceof Problem && of.status === 403) && (
          <span>
            <button type="button" className="small" onClick={retry}>
              Try again
            </button>
          </span>
        )}
      </Notice>
    </div>
  );
}

export function Loading({ lines = 4, what = "Loading" }: { lines?: number; what?: string }) {
  return (
    <div className="stack" role="status" aria-label={what}>
      {Array.from({ length: lines }, (_, line) => `${line}`).map((line) => (
        <div key={line} className="skeleton" />
      ))}
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="empty">
      <h2>{title}</h2>
      {children}
    </div>
  );
}

/** The head of a page. Who comes to it hears its title first. */
export function Head({ title, about, children }: { title: string; about?: ReactNode; children?: ReactNode }) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${title} · Claviger`;
  }, [title]);
  useEffect(() => heading.current?.focus({ preventScroll: true }), []);
  return (
    <header className="head">
      <div className="titles">
        <h1 ref={heading} tabIndex={-1}>
          {title}
        </h1>
        {about !== undefined && <p>{about}</p>}
      </div>
      {children !== undefined && <div className="row">{children}</div>}
    </header>
  );
}

/** How much is left of how much. */
export function Meter({ left, of }: { left: number; of: number }) {
  const part = of === 0 ? 0 : Math.min(1, left / of);
  const bar = useRef<HTMLElement>(null);
  useEffect(() => {
    // Not as an attribute: the page's policy allows no style in markup.
    if (bar.current !== null) bar.current.style.width = `${part * 100}%`;
  }, [part]);
  return (
    <span className={`meter ${part < 0.1 ? "low" : ""}`} aria-hidden>
      <i ref={bar} />
    </span>
  );
}

export function Count({ of }: { of: number }) {
  return <>{of.toLocaleString("en")}</>;
}
