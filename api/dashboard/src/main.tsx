// The entry point: providers around the app.

import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { HashRouter } from "react-router";
import { SESSION_ENDED } from "./api/client.ts";
import { endSession } from "./api/session.ts";
import { App } from "./app.tsx";
import { ErrorBoundary } from "./components/ui/error-boundary.tsx";
import { ToastProvider } from "./components/ui/toast.tsx";
import { isTransient } from "./lib/messages.ts";
import { applyTheme, storedTheme } from "./lib/theme.ts";
import "./styles/base.css";
import "./styles/controls.css";
import "./styles/layout.css";
import "./styles/components.css";
import "./styles/tables.css";
import "./styles/usage.css";
import "./styles/responsive.css";
import "./styles/keys.css";

applyTheme(storedTheme());

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      retry: (count, error) => isTransient(error) && count < 1,
      // Requests fail at once without a connection, instead of waiting without a word.
      networkMode: "always",
      refetchOnReconnect: true,
    },
  },
});
window.addEventListener(SESSION_ENDED, () => endSession(queries, true));

const root = document.getElementById("root");
if (root === null) throw new Error("the page has no #root");
createRoot(root).render(
  <StrictMode>
    <QueryClientProvider client={queries}>
      {/* Without transitions: form fields whose values are in the address must not lag behind typing. */}
      <HashRouter useTransitions={false}>
        <ErrorBoundary>
          <ToastProvider>
            <App />
          </ToastProvider>
        </ErrorBoundary>
      </HashRouter>
    </QueryClientProvider>
  </StrictMode>,
);
