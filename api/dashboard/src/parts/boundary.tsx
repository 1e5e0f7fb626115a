// What is shown where a part of the page has failed: never an empty page.

import { Component, type ReactNode } from "react";
import { Notice } from "./basics.tsx";

export class Boundary extends Component<{ children: ReactNode }, { hasFailed: boolean }> {
  override state = { hasFailed: false };

  static getDerivedStateFromError() {
    return { hasFailed: true };
  }

  override render() {
    if (!this.state.hasFailed) return this.props.children;
    return (
      <div role="alert">
        <Notice tone="bad">
          <span>This part of the page has failed. The service may have a newer version: load the page anew.</span>
          <span>
            <button type="button" className="small" onClick={() => location.reload()}>
              Load anew
            </button>
          </span>
        </Notice>
      </div>
    );
  }
}
