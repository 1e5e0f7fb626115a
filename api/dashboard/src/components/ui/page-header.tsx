// The title of a page, which gets the focus when the page opens, so that screen readers read it first.

import { type ReactNode, useEffect, useRef } from "react";

interface Props {
  title: string;
  description?: ReactNode;
  /** Buttons. */
  children?: ReactNode;
}

export function PageHeader({ title, description, children }: Props) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${title} · Claviger`;
  }, [title]);
  useEffect(() => heading.current?.focus({ preventScroll: true }), []);
  return (
    <header className="page-header">
      <div className="page-title">
        <h1 ref={heading} tabIndex={-1}>
          {title}
        </h1>
        {description !== undefined && <p>{description}</p>}
      </div>
      {children !== undefined && <div className="row">{children}</div>}
    </header>
  );
}
