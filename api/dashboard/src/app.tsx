// The pages and their addresses. Addresses are behind the #, so that they cannot collide with paths of the API.

import { useQuery } from "@tanstack/react-query";
import { Link, Navigate, Outlet, Route, Routes, useMatch } from "react-router";
import { homePath, meQuery } from "./api/session.ts";
import { AppShell } from "./components/app-shell.tsx";
import { FreshSignInProvider } from "./components/fresh-sign-in.tsx";
import { LeaveGuard } from "./components/leave-guard.tsx";
import { EmptyState } from "./components/ui/empty-state.tsx";
import { ErrorNotice } from "./components/ui/error-notice.tsx";
import { PageHeader } from "./components/ui/page-header.tsx";
import { MeContext } from "./hooks/use-me.ts";
import { useOrganization } from "./hooks/use-organization.ts";
import { AuditLog } from "./pages/audit-log.tsx";
import { CreateKey } from "./pages/create-key.tsx";
import { InvitationPage } from "./pages/invitation.tsx";
import { KeyPage } from "./pages/key.tsx";
import { Keys } from "./pages/keys.tsx";
import { Members } from "./pages/members.tsx";
import { MyKeys } from "./pages/my-keys.tsx";
import { Organization } from "./pages/organization.tsx";
import { Organizations } from "./pages/organizations.tsx";
import { Overview } from "./pages/overview.tsx";
import { Passkeys } from "./pages/passkeys.tsx";
import { PermissionSets } from "./pages/permission-sets.tsx";
import { Service } from "./pages/service.tsx";
import { Sessions } from "./pages/sessions.tsx";
import { SIGN_IN_PATH, SignIn, SignInFailed } from "./pages/sign-in.tsx";
import { SignUp } from "./pages/sign-up.tsx";
import { TryKey } from "./pages/try-key.tsx";

export function App() {
  const { data: me, error, isPending, refetch } = useQuery(meQuery);
  const invitation = useMatch("/invitation/:token")?.params.token;
  const isSignUp = useMatch("/sign-up") !== null;
  if (isPending) return null;
  if (error !== null) {
    return (
      <main className="sign-in-page">
        <ErrorNotice error={error} retry={refetch} />
      </main>
    );
  }
  if (invitation !== undefined) return <InvitationPage key={invitation} token={invitation} me={me ?? null} />;
  if (me === null || me === undefined) return isSignUp ? <SignUp /> : <SignIn />;
  return (
    <MeContext value={me}>
      <Routes>
        <Route element={<Layout />}>
          <Route path="/organizations" element={<Organizations />} />
          <Route path="/service" element={<Service />} />
          <Route path="/sessions" element={<Sessions />} />
          <Route path="/orgs/:org" element={<OrganizationPages />}>
            <Route index element={<Navigate to="keys" replace />} />
            <Route path="overview" element={<Overview />} />
            <Route path="keys" element={<Keys />} />
            <Route path="keys/new" element={<CreateKey />} />
            <Route path="my-keys" element={<MyKeys />} />
            <Route path="my-keys/new" element={<CreateKey isOwn />} />
            <Route path="keys/:key" element={<KeyPage />} />
            <Route path="keys/:key/:tab" element={<KeyPage />} />
            <Route path="try" element={<TryKey />} />
            <Route path="members" element={<Members />} />
            <Route path="sets" element={<PermissionSets />} />
            <Route path="audit" element={<AuditLog />} />
            <Route path="organization" element={<Organization />} />
          </Route>
          <Route path={SIGN_IN_PATH} element={<SignInFailed />} />
          <Route path="/passkeys" element={<Passkeys />} />
          <Route path="/sign-up" element={<Navigate to="/" replace />} />
          <Route path="/" element={<Navigate to={homePath(me)} replace />} />
          <Route path="*" element={<EmptyState title="Page not found" />} />
        </Route>
      </Routes>
    </MeContext>
  );
}

/** The pages of an organization, if the caller has anything to do with it. */
function OrganizationPages() {
  const { isKnown } = useOrganization();
  if (isKnown) return <Outlet />;
  return (
    <>
      <PageHeader title="Organization" />
      <EmptyState title="Organization not found">
        <p>There is no organization with this id, or you do not belong to it.</p>
        <Link to="/" className="button">
          Go to your own keys
        </Link>
      </EmptyState>
    </>
  );
}

function Layout() {
  return (
    <FreshSignInProvider>
      <AppShell>
        <Outlet />
        <LeaveGuard />
      </AppShell>
    </FreshSignInProvider>
  );
}
