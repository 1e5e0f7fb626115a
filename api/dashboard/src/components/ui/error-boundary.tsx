// Shows a message in place of a part of the page that failed to render or load.

import { Component, type ReactNode } from "react";
import { Notice } from "./notice.tsx";

export class ErrorBoundary extends Component<{ children: ReactNode }, { hasFailed: boolean }> {
  override state = { hasFailed: false };

  static getDerivedStateFromError() {
    return { hasFailed: true };
  }

  override render() {
    if (!this.state.hasFailed) return this.props.children;
    return (
      <div role="alert">
        <Notice tone="danger">
          <span>This part of the page has failed. The service may have a newer version: reload the page.</span>
          <span>
            <button type="button" className="small" onClick={() => location.reload()}>
              Reload
            </button>
          </span>
        </Notice>
      </div>
    );
  }
}
