// Every page and its address. Addresses are behind the #, so that none can be taken for one of the API.

import { useQuery } from "@tanstack/react-query";
import { Navigate, Outlet, Route, Routes } from "react-router";
import { Audit } from "./pages/audit.tsx";
import { CreateKey } from "./pages/create-key.tsx";
import { KeyPage } from "./pages/key.tsx";
import { Keys } from "./pages/keys.tsx";
import { Members } from "./pages/members.tsx";
import { Organizations } from "./pages/organizations.tsx";
import { Overview } from "./pages/overview.tsx";
import { Sets } from "./pages/sets.tsx";
import { SignIn } from "./pages/sign-in.tsx";
import { TryKey } from "./pages/try-key.tsx";
import { Empty, Failure } from "./parts/basics.tsx";
import { Shell } from "./parts/shell.tsx";
import { home, SignedIn, whoIs } from "./session.tsx";

export function App() {
  const { data: me, error, isPending, refetch } = useQuery(whoIs);
  if (isPending) return null;
  if (error !== null) {
    return (
      <main className="door">
        <Failure of={error} retry={refetch} />
      </main>
    );
  }
  if (me === null || me === undefined) return <SignIn />;
  return (
    <SignedIn value={me}>
      <Routes>
        <Route element={<Framed />}>
          <Route path="/organizations" element={<Organizations />} />
          <Route path="/orgs/:org">
            <Route index element={<Navigate to="keys" replace />} />
            <Route path="overview" element={<Overview />} />
            <Route path="keys" element={<Keys />} />
            <Route path="keys/new" element={<CreateKey />} />
            <Route path="keys/:key" element={<KeyPage />} />
            <Route path="keys/:key/:tab" element={<KeyPage />} />
            <Route path="try" element={<TryKey />} />
            <Route path="members" element={<Members />} />
            <Route path="sets" element={<Sets />} />
            <Route path="audit" element={<Audit />} />
          </Route>
          <Route path="/" element={<Navigate to={home(me)} replace />} />
          <Route path="*" element={<Empty title="There is no such page" />} />
        </Route>
      </Routes>
    </SignedIn>
  );
}

function Framed() {
  return (
    <Shell>
      <Outlet />
    </Shell>
  );
}
