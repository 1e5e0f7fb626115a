// The entry point of the customers' portal: exchanges the secret of the link, and shows the page.

import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { ErrorBoundary } from "../components/ui/error-boundary.tsx";
import { ToastProvider } from "../components/ui/toast.tsx";
import "../styles/base.css";
import "../styles/controls.css";
import "../styles/components.css";
import "../styles/tables.css";
import "../styles/layout.css";
import "./portal.css";
import { openSession } from "./api.ts";
import { Portal } from "./portal.tsx";

const secret = location.hash.slice(1);
// The secret is valid once, and stays neither in the address nor in the history.
history.replaceState(null, "", `${location.pathname}${location.search}`);

const root = document.getElementById("root");
if (root === null) throw new Error("the page has no #root");
createRoot(root).render(
  <StrictMode>
    <ErrorBoundary>
      <ToastProvider>
        {/* Opened here, and not by a component, which React may render twice. */}
        <Portal opening={openSession(secret)} />
      </ToastProvider>
    </ErrorBoundary>
  </StrictMode>,
);
