// The page: who is signed in decides what there is.

import { QueryCache, QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { HashRouter } from "react-router";
import { Problem } from "./api/client.ts";
import { App } from "./app.tsx";
import { applyTheme, storedTheme } from "./parts/theme.ts";
import { Toasts } from "./parts/toast.tsx";
import { whoIs } from "./session.tsx";
import "./styles/base.css";
import "./styles/controls.css";
import "./styles/frame.css";
import "./styles/parts.css";
import "./styles/tables.css";
import "./styles/narrow.css";

applyTheme(storedTheme());

const isOver = (problem: unknown) => problem instanceof Problem && problem.status === 401;
const isTransient = (problem: unknown) => problem instanceof Problem && (problem.status === 0 || problem.status >= 500);

const queries: QueryClient = new QueryClient({
  queryCache: new QueryCache({
    onError: (problem) => {
      // Whatever finds out first that the session has ended tells the whole page.
      if (isOver(problem)) queries.setQueryData(whoIs.queryKey, null);
    },
  }),
  defaultOptions: {
    queries: { retry: (count, problem) => isTransient(problem) && count < 1, refetchOnWindowFocus: true },
  },
});

const root = document.getElementById("root");
if (root === null) throw new Error("the page has a root");
createRoot(root).render(
  <StrictMode>
    <QueryClientProvider client={queries}>
      {/* Fields that are in the address must not lag behind the keyboard. */}
      <HashRouter useTransitions={false}>
        <Toasts>
          <App />
        </Toasts>
      </HashRouter>
    </QueryClientProvider>
  </StrictMode>,
);
