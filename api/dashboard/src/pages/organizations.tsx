// Where one may act: the platform's callers choose among all organizations, others among their own.

import { useQuery } from "@tanstack/react-query";
import { Link, useSearchParams } from "react-router";
import { client, paged } from "../api/client.ts";
import { Empty, Failure, Head, Loading, Time } from "../parts/basics.tsx";
import { Pager } from "../parts/pager.tsx";
import { platformOf, useMe } from "../session.tsx";

export function Organizations() {
  const me = useMe();
  const isPlatform = platformOf(me) !== null;
  return (
    <>
      <Head
        title="Organizations"
        about={isPlatform ? "You act for the platform: in each of them." : "You may act in these."}
      />
      {isPlatform ? <All /> : <Own />}
    </>
  );
}

function Own() {
  const me = useMe();
  if (me.organizations.length === 0) {
    return (
      <Empty title="You are in no organization">
        <p>Ask an administrator to add you as a member.</p>
      </Empty>
    );
  }
  return (
    <ul className="can">
      {me.organizations.map((place) => (
        <li key={place.id}>
          <Link to={`/orgs/${place.id}/keys`}>{place.name ?? place.id}</Link>
        </li>
      ))}
    </ul>
  );
}

function All() {
  const [search, setSearch] = useSearchParams();
  const externalId = search.get("external_id") ?? "";
  const after = search.get("after") ?? undefined;
  const { data, error, refetch } = useQuery({
    queryKey: ["orgs", externalId, after],
    queryFn: () => {
      const query = { limit: 50, cursor: after, external_id: externalId || undefined };
      return paged(client.GET("/orgs", { params: { query } }));
    },
  });
  return (
    <>
      <search className="filters">
        <label className="field">
          Find by external id
          <input
            type="search"
            defaultValue={externalId}
            onChange={(event) =>
              setSearch(event.target.value === "" ? {} : { external_id: event.target.value }, { replace: true })
            }
          />
        </label>
      </search>
      {error !== null && <Failure of={error} retry={refetch} />}
      <div className="card table">
        {data === undefined && error === null && <Loading what="Loading organizations" />}
        {data?.items.length === 0 && <Empty title="No organization is called that" />}
        {data !== undefined && data.items.length > 0 && (
          <div className="scroll">
            <table className="cards">
              <thead>
                <tr>
                  <th scope="col">Name</th>
                  <th scope="col">External id</th>
                  <th scope="col">Status</th>
                  <th scope="col">Made</th>
                </tr>
              </thead>
              <tbody>
                {data.items.map((one) => (
                  <tr key={one.id}>
                    <th scope="row">
                      <Link to={`/orgs/${one.id}/keys`} className="keyname">
                        {one.name ?? (one.kind === "platform" ? "Platform" : "Unnamed organization")}
                      </Link>
                    </th>
                    <td data-label="External id">{one.external_id ?? <span className="faint">–</span>}</td>
                    <td data-label="Status">
                      {one.suspended_at === null ? (
                        <span className="badge good">Active</span>
                      ) : (
                        <span className="badge bad">Suspended</span>
                      )}
                    </td>
                    <td data-label="Made">
                      <Time at={one.created_at} />
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </div>
      {data !== undefined && <Pager next={data.next} />}
    </>
  );
}
