// The frame of every page: the organization, the navigation, and the signed-in caller.

import { useQueryClient } from "@tanstack/react-query";
import {
  BookOpen,
  Building2,
  ChartNoAxesColumn,
  Fingerprint,
  FlaskConical,
  Gauge,
  KeyRound,
  LogOut,
  Menu,
  MonitorSmartphone,
  ScrollText,
  ShieldCheck,
  UserRoundKey,
  Users,
} from "lucide-react";
import { type ReactNode, useState } from "react";
import { NavLink, useLocation, useMatch } from "react-router";
import type { ServicePermission } from "../api/client.ts";
import { isPasskeyAccount } from "../api/passkeys.ts";
import { onlyOrganization, platformOf, signOut } from "../api/session.ts";
import { useMe } from "../hooks/use-me.ts";
import { useOrganizationName, useOrganizationOf } from "../hooks/use-organization.ts";
import { useToast } from "../hooks/use-toast.ts";
import icon from "../icon.svg";
import { errorMessage } from "../lib/messages.ts";
import { BASE_PATH } from "../lib/service-url.ts";
import { applyTheme, storedTheme, type Theme } from "../lib/theme.ts";
import { ConnectionBanner } from "./connection-banner.tsx";
import { SignOutEverywhere } from "./end-sessions.tsx";

/** The pages of an organization: the address, the name, the icon, and the permissions without which there is nothing to see. */
const NAVIGATION: [string, string, typeof Gauge, ServicePermission[]][] = [
  ["overview", "Overview", ChartNoAxesColumn, ["api_keys:read"]],
  ["keys", "Keys", KeyRound, ["api_keys:read"]],
  ["my-keys", "My keys", UserRoundKey, []],
  ["try", "Try a key", FlaskConical, ["api_keys:verify", "api_keys:read"]],
  ["members", "Members", Users, ["members:read"]],
  ["sets", "Permission sets", ShieldCheck, ["permission_sets:read"]],
  ["audit", "Audit log", ScrollText, ["audit:read"]],
  ["organization", "Organization", Building2, ["org:read"]],
];

export function AppShell({ children }: { children: ReactNode }) {
  const me = useMe();
  // Pages of the person, such as their sessions, belong to no organization: then the menu is that of the only one.
  const org = useMatch("/orgs/:org/*")?.params.org ?? onlyOrganization(me);
  const isPlatform = platformOf(me) !== null;
  const { pathname } = useLocation();
  // The path at which the menu was opened: on a narrow screen, the menu closes when another page opens.
  const [menuPath, setMenuPath] = useState<string | null>(null);
  const isOpen = menuPath === pathname;
  return (
    <div className="shell">
      <button type="button" className="skip-link" onClick={() => document.querySelector("h1")?.focus()}>
        Skip to content
      </button>
      <div className="topbar">
        <Brand />
        <button
          type="button"
          className="ghost"
          aria-expanded={isOpen}
          aria-controls="menu"
          onClick={() => setMenuPath(isOpen ? null : pathname)}
        >
          <Menu size={20} aria-hidden /> Menu
        </button>
      </div>
      <aside id="menu" className={`sidebar ${isOpen ? "open" : ""}`} aria-label="Menu">
        <Brand />
        <CurrentOrganization org={org} />
        {org !== undefined && <OrganizationNavigation org={org} />}
        {isPlatform && (
          <nav aria-label="Platform">
            <ul>
              <li>
                <NavLink to="/service">
                  <Gauge size={18} aria-hidden /> Service
                </NavLink>
              </li>
            </ul>
          </nav>
        )}
        <Account />
      </aside>
      <main>
        <ConnectionBanner />
        {children}
      </main>
    </div>
  );
}

function OrganizationNavigation({ org }: { org: string }) {
  const { can, hasOwnKeys, isKnown } = useOrganizationOf(org);
  if (!isKnown) return null;
  const isShown = (path: string, needed: ServicePermission[]) =>
    path === "my-keys" ? hasOwnKeys : needed.every((permission) => can(permission));
  return (
    <nav aria-label="Organization">
      <ul>
        {NAVIGATION.filter(([path, , , needed]) => isShown(path, needed)).map(([path, name, Icon]) => (
          <li key={path}>
            <NavLink to={`/orgs/${org}/${path}`}>
              <Icon size={18} aria-hidden /> {name}
            </NavLink>
          </li>
        ))}
      </ul>
    </nav>
  );
}

function Brand() {
  return (
    <NavLink to="/" className="brand">
      <img src={icon} alt="" /> Claviger
    </NavLink>
  );
}

function CurrentOrganization({ org }: { org: string | undefined }) {
  const me = useMe();
  const name = useOrganizationName(org ?? "");
  const { isKnown } = useOrganizationOf(org ?? "");
  const hasChoice =
    me.organizations.length > 1 || me.organizations.some(({ accepted }) => !accepted) || platformOf(me) !== null;
  if (hasChoice) {
    return (
      <NavLink to="/organizations" className="button" end>
        <Building2 size={17} aria-hidden /> {isKnown ? name : "Organizations"}
      </NavLink>
    );
  }
  if (!isKnown) return null;
  return (
    <p className="row small muted current-organization">
      <Building2 size={17} aria-hidden /> {name}
    </p>
  );
}

function Account() {
  const me = useMe();
  const queries = useQueryClient();
  const toast = useToast();
  const [theme, setTheme] = useState(storedTheme);
  const [isEnding, setEnding] = useState(false);
  const leave = () =>
    signOut(queries).catch((error: unknown) => toast(`You are still signed in. ${errorMessage(error)}`));
  const name =
    me.user?.name ?? me.identity?.subject ?? (me.api_key?.name || me.organization?.name || "An organization's key");
  return (
    <div className="account">
      <div className="small">
        <strong>{name}</strong>
        {me.user?.email && <span className="muted">{me.user.email}</span>}
        {me.api_key !== null && (
          <span className="muted">
            with <code>{me.api_key.start}…</code>
          </span>
        )}
      </div>
      <select
        aria-label="Theme"
        className="small"
        value={theme}
        onChange={(event) => {
          const theme = event.target.value as Theme;
          setTheme(theme);
          applyTheme(theme);
        }}
      >
        <option value="system">System</option>
        <option value="light">Light</option>
        <option value="dark">Dark</option>
      </select>
      {isPasskeyAccount(me) && (
        <NavLink className="button small" to="/passkeys">
          <Fingerprint size={17} aria-hidden /> Your passkeys
        </NavLink>
      )}
      <NavLink to="/sessions" className="button small">
        <MonitorSmartphone size={17} aria-hidden /> Your sessions
      </NavLink>
      <a className="button small" href={`${BASE_PATH}/docs`}>
        <BookOpen size={17} aria-hidden /> API reference
      </a>
      <button type="button" className="ghost" onClick={leave}>
        <LogOut size={17} aria-hidden /> Sign out
      </button>
      <button type="button" className="ghost small" onClick={() => setEnding(true)}>
        Sign out everywhere
      </button>
      {isEnding && <SignOutEverywhere onClose={() => setEnding(false)} />}
    </div>
  );
}
