// The page: who is signed in decides what there is.

import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { HashRouter } from "react-router";
import { Problem, SESSION_ENDED } from "./api/client.ts";
import { App } from "./app.tsx";
import { applyTheme, storedTheme } from "./parts/theme.ts";
import { Boundary } from "./parts/boundary.tsx";
import { Toasts } from "./parts/toast.tsx";
import { leave } from "./session.tsx";
import "./styles/base.css";
import "./styles/controls.css";
import "./styles/frame.css";
import "./styles/parts.css";
import "./styles/tables.css";
import "./styles/narrow.css";

applyTheme(storedTheme());

const isTransient = (problem: unknown) => problem instanceof Problem && (problem.status === 0 || problem.status >= 500);

const queries = new QueryClient({
  defaultOptions: { queries: { retry: (count, problem) => isTransient(problem) && count < 1 } },
});
window.addEventListener(SESSION_ENDED, () => leave(queries, true));

const root = document.getElementById("root");
if (root === null) throw new Error("the page has a root");
createRoot(root).render(
  <StrictMode>
    <QueryClientProvider client={queries}>
      {/* Fields that are in the address must not lag behind the keyboard. */}
      <HashRouter useTransitions={false}>
        <Boundary>
          <Toasts>
            <App />
          </Toasts>
        </Boundary>
      </HashRouter>
    </QueryClientProvider>
  </StrictMode>,
);
