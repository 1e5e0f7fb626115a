// One key: its settings, usage and audit events, and the operations on it.

import { useQueryClient } from "@tanstack/react-query";
import { Ban, ChevronLeft, Power, RefreshCw, Trash2 } from "lucide-react";
import { useState } from "react";
import { Link, NavLink, useNavigate, useParams } from "react-router";
import { hasReason, type Key, type PermissionSet } from "../api/client.ts";
import { useDeletion, useKey, useSets } from "../api/queries.ts";
import { AuditEventTable } from "../components/audit-event-table.tsx";
import { EditKeyForm } from "../components/keys/form/edit-key-form.tsx";
import { EnableKey } from "../components/keys/actions/enable-key.tsx";
import { KeyDetails } from "../components/keys/key-details.tsx";
import { KeyStatus } from "../components/keys/key-status.tsx";
import { PreviousSecret } from "../components/keys/actions/previous-secret.tsx";
import { RestoreKey } from "../components/keys/actions/restore-key.tsx";
import { RevokeKey } from "../components/keys/actions/revoke-key.tsx";
import { RotateKey } from "../components/keys/actions/rotate-key.tsx";
import { CreatorName } from "../components/names.tsx";
import { EmptyState } from "../components/ui/empty-state.tsx";
import { ErrorNotice } from "../components/ui/error-notice.tsx";
import { Loading } from "../components/ui/loading.tsx";
import { Notice } from "../components/ui/notice.tsx";
import { PageHeader } from "../components/ui/page-header.tsx";
import { PolicyState } from "../components/key-policy/policy-state.tsx";
import { RelativeTime } from "../components/ui/relative-time.tsx";
import { UsageSection } from "../components/usage/usage-section.tsx";
import { useNow } from "../hooks/use-now.ts";
import { useOrganization } from "../hooks/use-organization.ts";
import { isRotating } from "../lib/keys/key-status.ts";
import { lastList } from "../lib/keys/last-list.ts";

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
          <p>There is no key with this id here: it was removed permanently, or you have no access to it.</p>
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
  if (key.deleted_at !== null) return <RevokedKey key={key.id} org={org} apiKey={key} sets={sets} />;
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
          <PolicyState apiKey={key} />
          {isRotating(key, now) && <PreviousSecret org={org} apiKey={key} canRevoke={canChangeKey(key)} />}
          <div className="card-grid">
            <KeyDetails org={org} apiKey={key} sets={sets} />
          </div>
          <UsageSection org={org} keyId={key.id} />
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
  const { keysPath } = useOrganization();
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
      <BackToKeys />
      <PageHeader
        title={apiKey.name || "Unnamed key"}
        description={
          <span className="row">
            <KeyStatus apiKey={apiKey} />
            <code>{apiKey.start}…</code>
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
            navigate(lastList(keysPath));
            queries.removeQueries({ queryKey: ["key", org, apiKey.id] });
            await queries.invalidateQueries({ queryKey: ["keys", org] });
          }}
        />
      )}
    </>
  );
}

/** The way back to the list, as it was filtered. */
function BackToKeys() {
  const { can, keysPath } = useOrganization();
  return (
    <p className="back-link">
      <Link to={lastList(keysPath)}>
        <ChevronLeft size={16} aria-hidden /> {can("api_keys:read") ? "All keys" : "My keys"}
      </Link>
    </p>
  );
}

/** A revoked key that can still be restored: who revoked it and when, what it was, and its history. */
function RevokedKey({ org, apiKey, sets }: { org: string; apiKey: Key; sets: PermissionSet[] }) {
  const { can } = useOrganization();
  const { data: deletion } = useDeletion(org, apiKey.id);
  return (
    <>
      <BackToKeys />
      <PageHeader
        title={apiKey.name || "Unnamed key"}
        description={
          <span className="row">
            <KeyStatus apiKey={apiKey} />
            <code>{apiKey.start}…</code>
          </span>
        }
      >
        <RestoreKey org={org} apiKey={apiKey} />
      </PageHeader>
      <div className="stack spacious">
        <Notice tone="warning">
          <strong>
            Revoked <RelativeTime at={apiKey.deleted_at} />
            {deletion?.deleted_by != null && (
              <>
                {" "}
                by <CreatorName org={org} creator={deletion.deleted_by} />
              </>
            )}
            .
          </strong>
          <span>
            {apiKey.last_used_at === null ? (
              "It was never used."
            ) : (
              <>
                It was last used <RelativeTime at={apiKey.last_used_at} />.
              </>
            )}{" "}
            It can be restored until the retention of deleted keys ends. It comes back disabled.
          </span>
        </Notice>
        <div className="card-grid">
          <KeyDetails org={org} apiKey={apiKey} sets={sets} />
        </div>
        {can("audit:read") && (
          <section className="stack" aria-label="Activity">
            <h2>Activity</h2>
            <Activity org={org} keyId={apiKey.id} canRead />
          </section>
        )}
      </div>
    </>
  );
}

function Activity({ org, keyId, canRead }: { org: string; keyId: string; canRead: boolean }) {
  if (!canRead) return <p className="muted">The activity needs the permission audit:read.</p>;
  return <AuditEventTable org={org} filters={{ target: keyId }} emptyTitle="No events for this key" />;
}
