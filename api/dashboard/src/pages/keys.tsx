// The keys of an organization. The filters are in the address, so that a filtered list can be linked.

import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Plus } from "lucide-react";
import { useEffect, useState } from "react";
import { Link, Navigate, useLocation } from "react-router";
import { client, type Key, unwrapPage } from "../api/client.ts";
import { formatCounted, MAX_COUNTED, useKeyCount, useMembers, useSets } from "../api/queries.ts";
import { BulkActions } from "../components/keys/list/bulk-actions.tsx";
import { ExportKeys } from "../components/keys/list/export-keys.tsx";
import { FirstSteps, NoKeys, NoMatches } from "../components/keys/list/first-steps.tsx";
import { KeyFilters, usePastedSecret } from "../components/keys/list/key-filters.tsx";
import { KeyTable } from "../components/keys/list/key-table.tsx";
import { PageSize } from "../components/keys/list/page-size.tsx";
import { ErrorNotice } from "../components/ui/error-notice.tsx";
import { Loading } from "../components/ui/loading.tsx";
import { PageHeader } from "../components/ui/page-header.tsx";
import { Pager } from "../components/ui/pager.tsx";
import { useFilters } from "../hooks/use-filters.ts";
import { useMe } from "../hooks/use-me.ts";
import { useNow } from "../hooks/use-now.ts";
import { useOrganization } from "../hooks/use-organization.ts";
import { FILTER_NAMES, filterError, filterQuery, pageSizeOf, sortOf } from "../lib/keys/key-filters.ts";
import { storeList } from "../lib/keys/last-list.ts";
import { MINUTE } from "../lib/time.ts";

export function Keys() {
  const { can, hasOwnKeys, keysPath } = useOrganization();
  if (!can("api_keys:read") && hasOwnKeys) return <Navigate to={keysPath} replace />;
  if (can("api_keys:read")) return <AllKeys />;
  return (
    <>
      <PageHeader title="Keys" />
      <p className="muted">
        The key that you are signed in with cannot list keys. It needs the permission api_keys:read.
      </p>
    </>
  );
}

function AllKeys() {
  const { org, can, held, user } = useOrganization();
  const me = useMe();
  const location = useLocation();
  const { value, setFilter, clear } = useFilters();
  const [allSelected, setSelected] = useState<ReadonlyMap<string, Key>>(new Map());
  // Without those of an organization that was shown before.
  const selected = new Map([...allSelected].filter(([, key]) => key.org_id === org));
  const sort = sortOf(value("sort"));
  const size = pageSizeOf(value("size"));
  const isFiltered = FILTER_NAMES.some((name) => value(name) !== "");
  const invalid = filterError(value);
  // Rounded to the minute, so that the query stays the same and is not sent again.
  const now = Math.floor(useNow() / MINUTE) * MINUTE;
  const filters = filterQuery(value, now);
  const query = { ...filters, sort, limit: size, ...(value("after") !== "" && { cursor: value("after") }) };

  const { data, error, refetch, isPlaceholderData } = useQuery({
    queryKey: ["keys", org, query],
    queryFn: ({ signal }) =>
      unwrapPage(client.GET("/orgs/{org_id}/api_keys", { params: { path: { org_id: org }, query }, signal })),
    placeholderData: keepPreviousData,
    enabled: invalid === null,
  });
  const total = useKeyCount(org, filters, invalid === null);
  const sets = useSets(org, can("permission_sets:read"));
  const members = useMembers(org, undefined, can("members:read")).data?.items ?? [];
  useEffect(() => storeList(location.pathname, location.search), [location]);

  const changeFilter = (name: string, text: string) => {
    // Bulk operations must not affect keys that are no longer shown.
    setSelected(new Map());
    setFilter(name, text);
  };
  const { catchSecret, notice } = usePastedSecret(org, (text) => changeFilter("search", text));

  const createLink = can("api_keys:write") && (
    <Link to={`/orgs/${org}/keys/new`} className="button primary">
      <Plus size={18} aria-hidden /> Create key
    </Link>
  );
  const keys = data?.items;
  const canSelect = can("api_keys:write") && value("status") !== "revoked";
  return (
    <>
      <PageHeader title="Keys" description={total === undefined ? " " : totalText(total, isFiltered)}>
        {keys !== undefined && keys.length > 0 && <ExportKeys org={org} query={{ ...filters, sort }} sets={sets} />}
        {createLink}
      </PageHeader>
      <KeyFilters
        value={value}
        onChange={changeFilter}
        onSort={(sort) => changeFilter("sort", sort)}
        {...{ sort, held, sets, members, user, catchSecret }}
      />
      <div aria-live="polite" className="below-filters">
        {notice}
      </div>
      {error !== null && <ErrorNotice error={error} retry={refetch} />}
      {invalid !== null && (
        <p className="field-error" role="alert">
          {invalid}
        </p>
      )}
      {selected.size > 0 && <BulkActions keys={[...selected.values()]} onClear={() => setSelected(new Map())} />}
      {!isFiltered && keys?.length === 1 && keys[0]?.id === me.api_key?.id && <FirstSteps org={org} />}
      <div className="card table" aria-busy={isPlaceholderData} hidden={keys === undefined && error !== null}>
        {keys === undefined && error === null && <Loading lines={8} label="Loading keys" />}
        {keys?.length === 0 &&
          (isFiltered || value("after") !== "" ? (
            <NoMatches label="Show all keys" onClear={clear} />
          ) : (
            <NoKeys>{createLink}</NoKeys>
          ))}
        {keys !== undefined && keys.length > 0 && (
          <KeyTable
            {...{ org, keys, sets, sort }}
            selected={canSelect ? selected : null}
            onSelect={setSelected}
            onSort={(sort) => changeFilter("sort", sort)}
          />
        )}
      </div>
      {data !== undefined && (
        <Pager next={data.next} pages={pagesOf(total, size)}>
          <PageSize size={size} onChange={(size) => changeFilter("size", size)} />
        </Pager>
      )}
    </>
  );
}

function totalText(total: number, isFiltered: boolean): string {
  const keys = total === 1 ? "1 key" : `${formatCounted(total)} keys`;
  return isFiltered ? `${keys} ${total === 1 ? "matches" : "match"} the filters` : keys;
}

function pagesOf(total: number | undefined, size: number): number | undefined {
  return total === undefined || total > MAX_COUNTED ? undefined : Math.max(1, Math.ceil(total / size));
}
