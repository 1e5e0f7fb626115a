// The keys of the caller's own user.

import { Plus } from "lucide-react";
import { useEffect } from "react";
import { Link, useLocation } from "react-router";
import { useKeys, useSets } from "../api/queries.ts";
import { DebouncedField } from "../components/keys/list/debounced-field.tsx";
import { NoMatches } from "../components/keys/list/first-steps.tsx";
import { usePastedSecret } from "../components/keys/list/key-filters.tsx";
import { KeyTable } from "../components/keys/list/key-table.tsx";
import { EmptyState } from "../components/ui/empty-state.tsx";
import { ErrorNotice } from "../components/ui/error-notice.tsx";
import { Loading } from "../components/ui/loading.tsx";
import { PageHeader } from "../components/ui/page-header.tsx";
import { Pager } from "../components/ui/pager.tsx";
import { SelectField } from "../components/ui/select-field.tsx";
import { useFilters } from "../hooks/use-filters.ts";
import { useNow } from "../hooks/use-now.ts";
import { useOrganization } from "../hooks/use-organization.ts";
import { sortOf } from "../lib/keys/key-filters.ts";
import { STATUS_OPTIONS, statusQuery } from "../lib/keys/key-status.ts";
import { storeList } from "../lib/keys/last-list.ts";
import { MINUTE } from "../lib/time.ts";

const PAGE_SIZE = 50;

export function MyKeys() {
  const { org, can, user, hasOwnKeys, canCreateOwnKeys } = useOrganization();
  const { value, setFilter, clear } = useFilters();
  // Rounded to the minute, so that the query stays the same and is not sent again.
  const now = Math.floor(useNow() / MINUTE) * MINUTE;
  const search = value("search").trim();
  const sort = sortOf(value("sort"));
  const query = {
    ...statusQuery(value("status"), now),
    ...(search !== "" && { search }),
    ...(value("after") !== "" && { cursor: value("after") }),
    user: user ?? "none",
    sort,
    limit: PAGE_SIZE,
  };
  const { data, error, refetch } = useKeys(org, query, hasOwnKeys);
  const sets = useSets(org, can("permission_sets:read"));
  const { catchSecret, notice } = usePastedSecret(org, (text) => setFilter("search", text));
  const location = useLocation();
  useEffect(() => storeList(location.pathname, location.search), [location]);
  if (!hasOwnKeys) {
    return (
      <>
        <PageHeader title="My keys" />
        <p className="muted">
          {user === null
            ? "You are signed in with a key of the organization, which has no user and no keys of its own."
            : "Your keys need the permission own_api_keys:read."}
        </p>
      </>
    );
  }
  const isFiltered = search !== "" || value("status") !== "" || value("after") !== "";
  const createLink = canCreateOwnKeys && (
    <Link to={`/orgs/${org}/my-keys/new`} className="button primary">
      <Plus size={18} aria-hidden /> Create key
    </Link>
  );
  const keys = data?.items;
  return (
    <>
      <PageHeader
        title="My keys"
        description="Keys that belong to you. They never have more permissions than you, and stop working when you leave the organization."
      >
        {createLink}
      </PageHeader>
      <search className="filters">
        <DebouncedField
          label="Search keys"
          type="search"
          placeholder="Name, id, external id, start of the secret"
          maxLength={255}
          value={value("search")}
          onChange={(text) => setFilter("search", text)}
          onInput={catchSecret}
        />
        <SelectField
          label="Status"
          value={value("status")}
          options={STATUS_OPTIONS}
          onChange={(text) => setFilter("status", text)}
        />
      </search>
      <div aria-live="polite" className="below-filters">
        {notice}
      </div>
      {error !== null && <ErrorNotice error={error} retry={refetch} />}
      <div className="card table" hidden={keys === undefined && error !== null}>
        {keys === undefined && error === null && <Loading lines={4} label="Loading keys" />}
        {keys?.length === 0 && isFiltered && <NoMatches label="Show all my keys" onClear={clear} />}
        {keys?.length === 0 && !isFiltered && (
          <EmptyState title="You have no keys yet">
            <p>A key lets your programs and tools call the services of the organization with your permissions.</p>
            {createLink}
          </EmptyState>
        )}
        {keys !== undefined && keys.length > 0 && (
          <KeyTable
            {...{ org, keys, sets, sort }}
            selected={null}
            onSelect={() => undefined}
            onSort={(sort) => setFilter("sort", sort)}
          />
        )}
      </div>
      {data !== undefined && <Pager next={data.next} />}
    </>
  );
}
