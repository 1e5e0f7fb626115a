// The keys of an organization. The filters are in the address, so that a filtered list can be linked.

import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Plus } from "lucide-react";
import { type ReactNode, useState } from "react";
import { Link, Navigate } from "react-router";
import { client, type Key, unwrapPage } from "../api/client.ts";
import { useSets } from "../api/queries.ts";
import { BulkActions } from "../components/keys/bulk-actions.tsx";
import { KeyTable } from "../components/keys/key-table.tsx";
import { EmptyState } from "../components/ui/empty-state.tsx";
import { ErrorNotice } from "../components/ui/error-notice.tsx";
import { Loading } from "../components/ui/loading.tsx";
import { PageHeader } from "../components/ui/page-header.tsx";
import { Pager } from "../components/ui/pager.tsx";
import { SelectField } from "../components/ui/select-field.tsx";
import { useFilters } from "../hooks/use-filters.ts";
import { useMe } from "../hooks/use-me.ts";
import { useOrganization } from "../hooks/use-organization.ts";
import { STATUS_OPTIONS, statusQuery } from "../lib/key-status.ts";
import { parsePermission } from "../lib/permissions.ts";

const PAGE_SIZE = 50;

const SORT_OPTIONS = [
  ["-created_at", "Newest first"],
  ["created_at", "Oldest first"],
  ["name", "Name"],
  ["-last_used_at", "Last used first"],
  ["last_used_at", "Longest unused first"],
  ["-request_count", "Most used first"],
  ["expires_at", "Expiring first"],
] as const;

const PURPOSE_OPTIONS = [
  ["", "Anything"],
  ["api", "Your own API"],
  ["claviger", "Managing Claviger"],
] as const;

const FILTERS = ["name", "status", "permission", "owner", "for"];

export function Keys() {
  const { can, hasOwnKeys, keysPath } = useOrganization();
  return !can("api_keys:read") && hasOwnKeys ? <Navigate to={keysPath} replace /> : <AllKeys />;
}

function AllKeys() {
  const { org, can, held, user } = useOrganization();
  const me = useMe();
  const { value, setFilter, clear } = useFilters();
  const [allSelected, setSelected] = useState<ReadonlyMap<string, Key>>(new Map());
  // Without those of an organization that was shown before.
  const selected = new Map([...allSelected].filter(([, key]) => key.org_id === org));
  const sort = SORT_OPTIONS.find(([name]) => name === value("sort"))?.[0] ?? "-created_at";
  const filters = FILTERS.map((name) => [name, value(name)] as const);
  const isFiltered = filters.some(([, text]) => text !== "");
  const permission = value("permission").trim();
  const isPermissionInvalid = permission !== "" && parsePermission(permission) === null;

  const { data, error, refetch, isPlaceholderData } = useQuery({
    queryKey: ["keys", org, Object.fromEntries(filters), sort, value("after")],
    queryFn: ({ signal }) => {
      const query = {
        ...statusQuery(value("status"), Date.now()),
        ...(value("name").trim() !== "" && { name: value("name").trim() }),
        ...(value("owner") !== "" && { user: value("owner") }),
        ...(permission !== "" && { permission }),
        ...(value("for") !== "" && { can_manage: value("for") === "claviger" }),
        sort,
        limit: PAGE_SIZE,
        ...(value("after") !== "" && { cursor: value("after") }),
      };
      return unwrapPage(client.GET("/orgs/{org_id}/api_keys", { params: { path: { org_id: org }, query }, signal }));
    },
    placeholderData: keepPreviousData,
    enabled: !isPermissionInvalid,
  });
  const sets = useSets(org, can("permission_sets:read"));

  const changeFilter = (name: string, text: string) => {
    // Bulk operations must not affect keys that are no longer shown.
    setSelected(new Map());
    setFilter(name, text);
  };

  const createLink = can("api_keys:write") && (
    <Link to={`/orgs/${org}/keys/new`} className="button primary">
      <Plus size={18} aria-hidden /> Create key
    </Link>
  );
  const keys = data?.items;
  return (
    <>
      <PageHeader title="Keys" description="The API keys of the organization.">
        {createLink}
      </PageHeader>
      <search className="filters">
        <SearchField
          text={value("name")}
          onChange={(text) => changeFilter("name", isProbablySecret(text) ? "" : text)}
        />
        <SelectField
          label="Status"
          value={value("status")}
          options={STATUS_OPTIONS}
          onChange={(text) => changeFilter("status", text)}
        />
        <label className="field">
          Owner
          <select value={value("owner")} onChange={(event) => changeFilter("owner", event.target.value)}>
            <option value="">Anyone</option>
            <option value="none">The organization</option>
            {user !== null && <option value={user}>Me</option>}
            {value("owner") !== "" && value("owner") !== "none" && value("owner") !== user && (
              <option value={value("owner")}>One user</option>
            )}
          </select>
        </label>
        <PermissionField held={held} text={value("permission")} onChange={(text) => changeFilter("permission", text)} />
        <SelectField
          label="Purpose"
          value={value("for")}
          options={PURPOSE_OPTIONS}
          onChange={(text) => changeFilter("for", text)}
        />
        <SelectField label="Sort" value={sort} options={SORT_OPTIONS} onChange={(text) => changeFilter("sort", text)} />
      </search>
      {error !== null && <ErrorNotice error={error} retry={refetch} />}
      {isPermissionInvalid && (
        <p className="field-error" role="alert">
          “{permission}” is not a valid permission: use resource:action, for example files:read.
        </p>
      )}
      {selected.size > 0 && <BulkActions keys={[...selected.values()]} onClear={() => setSelected(new Map())} />}
      {!isFiltered && keys?.length === 1 && keys[0]?.id === me.api_key?.id && <FirstSteps org={org} />}
      <div className="card table" aria-busy={isPlaceholderData} hidden={keys === undefined && error !== null}>
        {keys === undefined && error === null && <Loading lines={8} label="Loading keys" />}
        {keys?.length === 0 &&
          (isFiltered || value("after") !== "" ? <NoMatches onClear={clear} /> : <NoKeys>{createLink}</NoKeys>)}
        {keys !== undefined && keys.length > 0 && (
          <KeyTable
            org={org}
            keys={keys}
            sets={sets}
            selected={can("api_keys:write") && value("status") !== "revoked" ? selected : null}
            onSelect={setSelected}
          />
        )}
      </div>
      {data !== undefined && <Pager next={data.next} />}
    </>
  );
}

/** Whether a search text looks like a secret, which must not get into the address. */
function isProbablySecret(text: string): boolean {
  return /\S{40,}/.test(text);
}

function SearchField({ text, onChange }: { text: string; onChange: (text: string) => void }) {
  return (
    <label className="field">
      Search by name
      <input type="search" value={text} onChange={(event) => onChange(event.target.value)} />
    </label>
  );
}

interface PermissionFieldProps {
  held: string[] | null;
  text: string;
  onChange: (text: string) => void;
}

function PermissionField({ held, text, onChange }: PermissionFieldProps) {
  const isInvalid = text.trim() !== "" && parsePermission(text.trim()) === null;
  return (
    <label className="field">
      Has permission
      <input
        value={text}
        list="permissions-held"
        placeholder="files:read"
        aria-invalid={isInvalid}
        onChange={(event) => onChange(event.target.value)}
      />
      <datalist id="permissions-held">
        {(held ?? []).map((permission) => (
          <option key={permission} value={permission} />
        ))}
      </datalist>
    </label>
  );
}

function NoMatches({ onClear }: { onClear: () => void }) {
  return (
    <EmptyState title="No keys match">
      <p>Try fewer filters, or show all keys.</p>
      <button type="button" onClick={onClear}>
        Show all keys
      </button>
    </EmptyState>
  );
}

/** Shown while the only key is the one that the caller signed in with. */
function FirstSteps({ org }: { org: string }) {
  return (
    <section className="card first-steps" aria-label="First steps">
      <h2>First steps</h2>
      <ol>
        <li>
          <Link to={`/orgs/${org}/keys/new`}>Create a key</Link> for a program that calls your service.
        </li>
        <li>
          Let your service verify keys, with a key of its own for managing Claviger that has only the permission{" "}
          <code>api_keys:verify</code>.
        </li>
        <li>
          <Link to={`/orgs/${org}/try`}>Try a key</Link>, and see the result that your service would get.
        </li>
      </ol>
    </section>
  );
}

function NoKeys({ children }: { children: ReactNode }) {
  return (
    <EmptyState title="No keys yet">
      <p>A key lets a program call your services. Create one, with only the permissions that it needs.</p>
      {children}
    </EmptyState>
  );
}
