// The list of all organizations, for platform callers.

import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { client, type Schemas, unwrapPage } from "../../api/client.ts";
import { useFilters } from "../../hooks/use-filters.ts";
import { organizationName } from "../../hooks/use-organization.ts";
import { RestoreOrganization } from "../restore-organization.tsx";
import { Badge } from "../ui/badge.tsx";
import { EmptyState } from "../ui/empty-state.tsx";
import { ErrorNotice } from "../ui/error-notice.tsx";
import { Loading } from "../ui/loading.tsx";
import { Pager } from "../ui/pager.tsx";
import { RelativeTime } from "../ui/relative-time.tsx";

type Organization = Schemas["Organization"];

export function OrganizationList() {
  const { value, setFilter } = useFilters();
  const isDeleted = value("deleted") === "true";
  const query = {
    limit: 50,
    cursor: value("after") || undefined,
    name: value("name").trim() || undefined,
    external_id: value("external_id").trim() || undefined,
    deleted: isDeleted || undefined,
  };
  const { data, error, refetch, isPlaceholderData } = useQuery({
    queryKey: ["orgs", query],
    queryFn: ({ signal }) => unwrapPage(client.GET("/orgs", { params: { query }, signal })),
    placeholderData: keepPreviousData,
  });
  return (
    <>
      <search className="filters">
        <label className="field">
          Search by name
          <input
            type="search"
            maxLength={100}
            value={value("name")}
            onChange={(event) => setFilter("name", event.target.value)}
          />
        </label>
        <label className="field">
          Find by external id
          <input
            type="search"
            maxLength={255}
            value={value("external_id")}
            onChange={(event) => setFilter("external_id", event.target.value)}
          />
        </label>
        <label className="checkbox">
          <input
            type="checkbox"
            checked={isDeleted}
            onChange={(event) => setFilter("deleted", event.target.checked ? "true" : "")}
          />
          Deleted
        </label>
      </search>
      {error !== null && <ErrorNotice error={error} retry={refetch} />}
      <div className="card table" aria-busy={isPlaceholderData}>
        {data === undefined && error === null && <Loading label="Loading organizations" />}
        {data?.items.length === 0 && (
          <EmptyState title={isDeleted ? "No deleted organizations" : "No organizations found"}>
            {isDeleted && <p>A deleted organization can be restored here until its retention ends.</p>}
          </EmptyState>
        )}
        {data !== undefined && data.items.length > 0 && <OrganizationTable organizations={data.items} />}
      </div>
      {data !== undefined && <Pager next={data.next} />}
    </>
  );
}

function OrganizationTable({ organizations }: { organizations: Organization[] }) {
  return (
    <div className="table-scroll">
      <table className="responsive-table">
        <thead>
          <tr>
            <th scope="col">Name</th>
            <th scope="col">External id</th>
            <th scope="col">Status</th>
            <th scope="col">Created</th>
          </tr>
        </thead>
        <tbody>
          {organizations.map((organization) => (
            <tr key={organization.id}>
              <th scope="row">
                {organization.deleted_at === null ? (
                  <Link to={`/orgs/${organization.id}/keys`} className="key-name">
                    {organizationName(organization)}
                  </Link>
                ) : (
                  organizationName(organization)
                )}
              </th>
              <td data-label="External id">{organization.external_id ?? <span className="muted">–</span>}</td>
              <td data-label="Status">
                <div>
                  <OrganizationStatus organization={organization} />
                  {organization.restorable_until !== null && <RestoreOrganization organization={organization} />}
                </div>
              </td>
              <td data-label="Created">
                <RelativeTime at={organization.created_at} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

export function OrganizationStatus({ organization }: { organization: Organization }) {
  const { deleted_at, restorable_until, suspended_at } = organization;
  if (deleted_at !== null && restorable_until === null) return <Badge tone="danger">Being removed</Badge>;
  if (deleted_at !== null) {
    return (
      <div className="stack compact">
        <Badge tone="danger">Deleted</Badge>
        <span className="small muted">
          Permanently removed <RelativeTime at={restorable_until} />
        </span>
      </div>
    );
  }
  if (suspended_at !== null) return <Badge tone="danger">Suspended</Badge>;
  return <Badge tone="success">Active</Badge>;
}
