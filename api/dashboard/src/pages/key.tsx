// One key: its settings, usage and audit events, and the operations on it.

import { useQueryClient } from "@tanstack/react-query";
import { Ban, Power, RefreshCw, Trash2 } from "lucide-react";
import { useState } from "react";
import { Link, NavLink, useNavigate, useParams } from "react-router";
import { hasReason, type Key } from "../api/client.ts";
import { useKey, useSets } from "../api/queries.ts";
import { AuditEventTable } from "../components/audit-event-table.tsx";
import { EditKeyForm } from "../components/keys/edit-key-form.tsx";
import { EnableKey } from "../components/keys/enable-key.tsx";
import { KeyDetails } from "../components/keys/key-details.tsx";
import { KeyStatus } from "../components/keys/key-status.tsx";
import { PreviousSecret } from "../components/keys/previous-secret.tsx";
import { RevokeKey } from "../components/keys/revoke-key.tsx";
import { RotateKey } from "../components/keys/rotate-key.tsx";
import { EmptyState } from "../components/ui/empty-state.tsx";
import { ErrorNotice } from "../components/ui/error-notice.tsx";
import { Loading } from "../components/ui/loading.tsx";
import { PageHeader } from "../components/ui/page-header.tsx";
import { UsagePanel } from "../components/usage-panel.tsx";
import { useNow } from "../hooks/use-now.ts";
import { useOrganization } from "../hooks/use-organization.ts";
import { isRotating } from "../lib/key-status.ts";

const TABS = [
  ["", "Overview"],
  ["settings", "Settings"],
  ["activity", "Activity"],
] as const;

export function KeyPage() {
  const { org, can, canChangeKey, keysPath } = useOrganization();
  const { key: id = "", tab = "" } = useParams();
  const now = useNow();
  const { data: key, error, refetch } = useKey(org, id);
  const sets = useSets(org, can("permission_sets:read"));
  if (error !== null) {
    if (!hasReason(error, "not_found")) return <ErrorNotice error={error} retry={refetch} />;
    return (
      <>
        <PageHeader title="Key" />
        <EmptyState title="Key not found">
          <p>It was revoked, or you have no access to it.</p>
          <Link to={`${keysPath}?status=revoked`} className="button">
            Show revoked keys
          </Link>
        </EmptyState>
      </>
    );
  }
  if (key === undefined) {
    return (
      <>
        <PageHeader title="Key" />
        <Loading lines={6} label="Loading the key" />
      </>
    );
  }
  return (
    <>
      <KeyHeader key={key.id} org={org} apiKey={key} canWrite={canChangeKey(key)} />
      <nav className="tabs" aria-label="About this key">
        {TABS.map(([path, name]) => (
          <NavLink key={path} to={`/orgs/${org}/keys/${id}${path && `/${path}`}`} end>
            {name}
          </NavLink>
        ))}
      </nav>
      {tab === "" && (
        <div className="stack spacious">
          {isRotating(key, now) && <PreviousSecret org={org} apiKey={key} canRevoke={canChangeKey(key)} />}
          <div className="card-grid">
            <KeyDetails org={org} apiKey={key} sets={sets} />
          </div>
          <UsagePanel org={org} keyId={key.id} title="Verifications" />
        </div>
      )}
      {tab === "settings" && <EditKeyForm key={key.id} org={org} apiKey={key} sets={sets} />}
      {tab === "activity" && <Activity org={org} keyId={key.id} canRead={can("audit:read")} />}
    </>
  );
}

function KeyHeader({ org, apiKey, canWrite }: { org: string; apiKey: Key; canWrite: boolean }) {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const { can, keysPath } = useOrganization();
  const [openDialog, setOpenDialog] = useState<"rotate" | "revoke" | "enable" | null>(null);
  const close = () => setOpenDialog(null);
  const onChanged = async () => {
    await Promise.all([
      queries.invalidateQueries({ queryKey: ["key", org, apiKey.id] }),
      queries.invalidateQueries({ queryKey: ["keys", org] }),
      queries.invalidateQueries({ queryKey: ["events", org] }),
    ]);
  };
  return (
    <>
      <PageHeader
        title={apiKey.name || "Unnamed key"}
        description={
          <span className="row">
            <Link to={keysPath}>{can("api_keys:read") ? "All keys" : "My keys"}</Link> <code>{apiKey.start}…</code>{" "}
            <KeyStatus apiKey={apiKey} />
          </span>
        }
      >
        {canWrite && (
          <>
            <button type="button" onClick={() => setOpenDialog("rotate")}>
              <RefreshCw size={17} aria-hidden /> Rotate
            </button>
            <button type="button" onClick={() => setOpenDialog("enable")}>
              {apiKey.enabled ? <Ban size={17} aria-hidden /> : <Power size={17} aria-hidden />}
              {apiKey.enabled ? "Disable" : "Enable"}
            </button>
            <button type="button" className="danger" onClick={() => setOpenDialog("revoke")}>
              <Trash2 size={17} aria-hidden /> Revoke
            </button>
          </>
        )}
      </PageHeader>
      {openDialog === "rotate" && <RotateKey org={org} apiKey={apiKey} onClose={close} onChanged={onChanged} />}
      {openDialog === "enable" && <EnableKey org={org} apiKey={apiKey} onClose={close} onChanged={onChanged} />}
      {openDialog === "revoke" && (
        <RevokeKey
          org={org}
          apiKey={apiKey}
          onClose={close}
          onRevoked={async () => {
            navigate(keysPath);
            queries.removeQueries({ queryKey: ["key", org, apiKey.id] });
            await queries.invalidateQueries({ queryKey: ["keys", org] });
          }}
        />
      )}
    </>
  );
}

function Activity({ org, keyId, canRead }: { org: string; keyId: string; canRead: boolean }) {
  if (!canRead) return <p className="muted">The activity needs the permission audit:read.</p>;
  return <AuditEventTable org={org} filters={{ target: keyId }} emptyTitle="No events for this key" />;
}
