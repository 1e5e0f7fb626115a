// One key: what it is, how it is used, what was done to it, and all that can be done to it.

import { useQueryClient } from "@tanstack/react-query";
import { Ban, Power, RefreshCw, Trash2 } from "lucide-react";
import { useState } from "react";
import { Link, NavLink, useNavigate, useParams } from "react-router";
import { type Key, Problem } from "../api/client.ts";
import { useKey, useSets } from "../api/lookups.ts";
import { Empty, Failure, Head, Loading, useNow } from "../parts/basics.tsx";
import { EventTable } from "../parts/event-table.tsx";
import { KeyFacts } from "../parts/key-facts.tsx";
import { Settings } from "../parts/key-settings.tsx";
import { Standing } from "../parts/key-table.tsx";
import { OldSecret } from "../parts/old-secret.tsx";
import { Revoke } from "../parts/revoke.tsx";
import { Rotate } from "../parts/rotate.tsx";
import { Switch } from "../parts/switch.tsx";
import { UsagePanel } from "../parts/usage.tsx";
import { isRotating } from "../rules/status.ts";
import { useOrganization } from "../session.tsx";

const TABS = [
  ["", "Overview"],
  ["settings", "Settings"],
  ["activity", "Activity"],
] as const;

type Asked = "rotate" | "revoke" | "switch" | null;

export function KeyPage() {
  const { org, can } = useOrganization();
  const { key: id = "", tab = "" } = useParams();
  const now = useNow();
  const { data: key, error, refetch } = useKey(org, id);
  const sets = useSets(org, can("permission_sets:read"));
  if (error !== null) {
    if (!(error instanceof Problem && error.status === 404)) return <Failure of={error} retry={refetch} />;
    return (
      <>
        <Head title="No such key" />
        <Empty title="This key is not here">
          <p>It was revoked, or belongs to another organization.</p>
          <Link to={`/orgs/${org}/keys?status=revoked`} className="button">
            Look among revoked keys
          </Link>
        </Empty>
      </>
    );
  }
  if (key === undefined) {
    return (
      <>
        <Head title="Key" />
        <Loading lines={6} what="Loading the key" />
      </>
    );
  }
  return (
    <>
      <KeyHead key={key.id} org={org} of={key} mayWrite={can("api_keys:write")} />
      <nav className="tabs" aria-label="About this key">
        {TABS.map(([path, name]) => (
          <NavLink key={path} to={`/orgs/${org}/keys/${id}${path && `/${path}`}`} end>
            {name}
          </NavLink>
        ))}
      </nav>
      {tab === "" && (
        <div className="stack wide">
          {isRotating(key, now) && <OldSecret org={org} of={key} mayEnd={can("api_keys:write")} />}
          <div className="grid">
            <KeyFacts org={org} of={key} sets={sets} />
          </div>
          <UsagePanel org={org} apiKey={key.id} title="Verifications" />
        </div>
      )}
      {tab === "settings" && <Settings key={key.id} org={org} of={key} sets={sets} />}
      {tab === "activity" && <Activity org={org} of={key} mayRead={can("audit:read")} />}
    </>
  );
}

function KeyHead({ org, of, mayWrite }: { org: string; of: Key; mayWrite: boolean }) {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const [asked, setAsked] = useState<Asked>(null);
  const close = () => setAsked(null);
  const changed = async () => {
    await Promise.all([
      queries.invalidateQueries({ queryKey: ["key", org, of.id] }),
      queries.invalidateQueries({ queryKey: ["keys", org] }),
      queries.invalidateQueries({ queryKey: ["events", org] }),
    ]);
  };
  return (
    <>
      <Head
        title={of.name || "Unnamed key"}
        about={
          <span className="row">
            <Link to={`/orgs/${org}/keys`}>All keys</Link> <code>{of.start}…</code> <Standing of={of} />
          </span>
        }
      >
        {mayWrite && (
          <>
            <button type="button" onClick={() => setAsked("rotate")}>
              <RefreshCw size={17} aria-hidden /> Rotate
            </button>
            <button type="button" onClick={() => setAsked("switch")}>
              {of.enabled ? <Ban size={17} aria-hidden /> : <Power size={17} aria-hidden />}
              {of.enabled ? "Disable" : "Enable"}
            </button>
            <button type="button" className="danger" onClick={() => setAsked("revoke")}>
              <Trash2 size={17} aria-hidden /> Revoke
            </button>
          </>
        )}
      </Head>
      {asked === "rotate" && <Rotate org={org} of={of} onClose={close} onChanged={changed} />}
      {asked === "switch" && <Switch org={org} of={of} onClose={close} onChanged={changed} />}
      {asked === "revoke" && (
        <Revoke
          org={org}
          of={of}
          onClose={close}
          onRevoked={async () => {
            navigate(`/orgs/${org}/keys`);
            queries.removeQueries({ queryKey: ["key", org, of.id] });
            await queries.invalidateQueries({ queryKey: ["keys", org] });
          }}
        />
      )}
    </>
  );
}

function Activity({ org, of, mayRead }: { org: string; of: Key; mayRead: boolean }) {
  if (!mayRead) return <p className="faint">Who did what is for those who hold audit:read.</p>;
  return <EventTable org={org} filters={{ target: of.id }} empty="Nothing was done to this key." />;
}
