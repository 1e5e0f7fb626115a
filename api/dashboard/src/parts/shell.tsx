// The frame of every page: where one is, where one can go, who one is.

import { useQueryClient } from "@tanstack/react-query";
import {
  Building2,
  ChartNoAxesColumn,
  FlaskConical,
  KeyRound,
  LogOut,
  Menu,
  ScrollText,
  ShieldCheck,
  Users,
} from "lucide-react";
import { type ReactNode, useState } from "react";
import { NavLink, useLocation, useMatch } from "react-router";
import { client, done, Problem } from "../api/client.ts";
import icon from "../icon.svg";
import { explain } from "../rules/words.ts";
import { leave, platformOf, useMe, useOrganizationName } from "../session.tsx";
import { useSay } from "./toast.tsx";
import { applyTheme, storedTheme, type Theme } from "./theme.ts";

const PLACES = [
  ["overview", "Overview", ChartNoAxesColumn],
  ["keys", "Keys", KeyRound],
  ["try", "Try a key", FlaskConical],
  ["members", "Members", Users],
  ["sets", "Permission sets", ShieldCheck],
  ["audit", "Audit log", ScrollText],
] as const;

export function Shell({ children }: { children: ReactNode }) {
  const org = useMatch("/orgs/:org/*")?.params.org;
  const { pathname } = useLocation();
  const [openAt, setOpenAt] = useState<string | null>(null);
  // The menu of a narrow screen closes when one has gone somewhere.
  const isOpen = openAt === pathname;
  return (
    <div className="shell">
      <button type="button" className="skip" onClick={() => document.querySelector("h1")?.focus()}>
        Skip to the page
      </button>
      <div className="bar">
        <Brand />
        <button
          type="button"
          className="plain"
          aria-expanded={isOpen}
          aria-controls="menu"
          onClick={() => setOpenAt(isOpen ? null : pathname)}
        >
          <Menu size={20} aria-hidden /> Menu
        </button>
      </div>
      <aside id="menu" className={`side ${isOpen ? "open" : ""}`} aria-label="Menu">
        <Brand />
        <Where org={org} />
        {org !== undefined && (
          <nav aria-label="Organization">
            <ul>
              {PLACES.map(([path, name, Icon]) => (
                <li key={path}>
                  <NavLink to={`/orgs/${org}/${path}`}>
                    <Icon size={18} aria-hidden /> {name}
                  </NavLink>
                </li>
              ))}
            </ul>
          </nav>
        )}
        <Who />
      </aside>
      <main>{children}</main>
    </div>
  );
}

function Brand() {
  return (
    <NavLink to="/" className="brand">
      <img src={icon} alt="" /> Claviger
    </NavLink>
  );
}

function Where({ org }: { org: string | undefined }) {
  const me = useMe();
  const name = useOrganizationName(org ?? "");
  const canChoose = me.organizations.length > 1 || platformOf(me) !== null;
  if (canChoose) {
    return (
      <NavLink to="/organizations" className="button" end>
        <Building2 size={17} aria-hidden /> {org === undefined ? "Organizations" : name}
      </NavLink>
    );
  }
  return (
    <p className="row small faint">
      <Building2 size={17} aria-hidden /> {name}
    </p>
  );
}

function Who() {
  const me = useMe();
  const queries = useQueryClient();
  const say = useSay();
  const [theme, setTheme] = useState(storedTheme);
  const signOut = async () => {
    try {
      await done(client.DELETE("/session"));
    } catch (problem) {
      const isOver = problem instanceof Problem && [401, 404].includes(problem.status);
      if (!isOver) return say(`You are still signed in. ${explain(problem)}`);
    }
    leave(queries, false);
  };
  const name = me.user?.name ?? (me.api_key?.name || me.organization?.name || "An organization's key");
  return (
    <div className="who">
      <div className="small">
        <strong>{name}</strong>
        {me.user?.email && <span className="faint">{me.user.email}</span>}
        {me.api_key !== null && (
          <span className="faint">
            with <code>{me.api_key.start}…</code>
          </span>
        )}
      </div>
      <select
        aria-label="Appearance"
        className="small"
        value={theme}
        onChange={(event) => {
          const wish = event.target.value as Theme;
          setTheme(wish);
          applyTheme(wish);
        }}
      >
        <option value="system">As the system</option>
        <option value="light">Light</option>
        <option value="dark">Dark</option>
      </select>
      <button type="button" className="plain" onClick={signOut}>
        <LogOut size={17} aria-hidden /> Sign out
      </button>
    </div>
  );
}
