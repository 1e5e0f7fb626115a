// A button that opens a short list of actions. The browser's own popover closes with Escape and with a click elsewhere.

import { EllipsisVertical } from "lucide-react";
import { type ReactNode, type ToggleEvent, useId, useRef, useState } from "react";
import { flushSync } from "react-dom";

interface Props {
  /** What the actions are about, for screen readers. */
  label: string;
  /** Buttons. A click on one closes the list. */
  children: ReactNode;
}

/** Distance to the button and to the edges of the window, in pixels. */
const GAP = 4;

export function Menu({ label, children }: Props) {
  const id = useId();
  const button = useRef<HTMLButtonElement>(null);
  const [isOpen, setOpen] = useState(false);
  const onToggle = (event: ToggleEvent<HTMLDivElement>) => {
    const isOpen = event.newState === "open";
    // At once, because the place depends on the size of the content.
    flushSync(() => setOpen(isOpen));
    if (isOpen && button.current !== null) place(event.currentTarget, button.current.getBoundingClientRect());
  };
  return (
    <>
      <button ref={button} type="button" className="ghost small menu-button" popoverTarget={id} aria-label={label}>
        <EllipsisVertical size={17} aria-hidden />
      </button>
      <div id={id} popover="auto" className="menu" onToggle={onToggle} role="group" aria-label={label}>
        {/* eslint-disable-next-line jsx-a11y/click-events-have-key-events, jsx-a11y/no-static-element-interactions -- clicks of its buttons. */}
        <div hidden={!isOpen} onClick={(event) => event.currentTarget.parentElement?.hidePopover()}>
          {children}
        </div>
      </div>
    </>
  );
}

/** Below the button, or above it if there is no room. Set by script: the content security policy forbids inline styles. */
function place(menu: HTMLElement, { right, top, bottom }: DOMRect): void {
  const { width, height } = menu.getBoundingClientRect();
  const below = bottom + GAP;
  menu.style.left = `${Math.max(GAP, right - width)}px`;
  menu.style.top = `${below + height > window.innerHeight ? Math.max(GAP, top - height - GAP) : below}px`;
}
