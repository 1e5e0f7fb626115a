// All keys of an organization: found by what is in the address, so that a list can be sent to somebody else.

import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Plus } from "lucide-react";
import { type ReactNode, useState } from "react";
import { Link } from "react-router";
import { client, type Key, paged } from "../api/client.ts";
import { useSets } from "../api/lookups.ts";
import { Empty, Failure, Head, Loading } from "../parts/basics.tsx";
import { BulkBar } from "../parts/bulk.tsx";
import { Choice } from "../parts/field.tsx";
import { KeyTable } from "../parts/key-table.tsx";
import { Pager } from "../parts/pager.tsx";
import { useFilters } from "../parts/use-filters.ts";
import { parse } from "../rules/permissions.ts";
import { CHOICES, conditions } from "../rules/status.ts";
import { useMe, useOrganization } from "../session.tsx";

const PAGE = 50;

const SORTS = [
  ["-created_at", "Newest first"],
  ["created_at", "Oldest first"],
  ["name", "Name"],
  ["-last_used_at", "Last used first"],
  ["last_used_at", "Longest unused first"],
  ["-request_count", "Most used first"],
  ["expires_at", "Expiring first"],
] as const;

type Sort = (typeof SORTS)[number][0];

export function Keys() {
  const { org, can, held } = useOrganization();
  const me = useMe();
  const { value, ask: askFor, clear } = useFilters();
  const [chosen, setSelected] = useState<ReadonlyMap<string, Key>>(new Map());
  const selected = new Map([...chosen].filter(([, key]) => key.org_id === org));
  const sort = (SORTS.find(([name]) => name === value("sort"))?.[0] ?? "-created_at") satisfies Sort;
  const filters = ["name", "status", "permission", "owner"].map((name) => [name, value(name)] as const);
  const isFiltered = filters.some(([, text]) => text !== "");
  const typed = value("permission").trim();
  const isMistyped = typed !== "" && parse(typed) === null;

  const { data, error, refetch, isPlaceholderData } = useQuery({
    queryKey: ["keys", org, Object.fromEntries(filters), sort, value("after")],
    queryFn: ({ signal }) => {
      const query = {
        ...conditions(value("status"), Date.now()),
        ...(value("name").trim() !== "" && { name: value("name").trim() }),
        ...(value("owner") !== "" && { user: value("owner") }),
        ...(typed !== "" && { permission: typed }),
        sort,
        limit: PAGE,
        ...(value("after") !== "" && { cursor: value("after") }),
      };
      return paged(client.GET("/orgs/{org_id}/api_keys", { params: { path: { org_id: org }, query }, signal }));
    },
    placeholderData: keepPreviousData,
    enabled: !isMistyped,
  });
  const sets = useSets(org, can("permission_sets:read"));

  const ask = (name: string, text: string) => {
    // Nobody acts on keys that are not in view.
    setSelected(new Map());
    askFor(name, text);
  };

  const create = can("api_keys:write") && (
    <Link to={`/orgs/${org}/keys/new`} className="button primary">
      <Plus size={18} aria-hidden /> Create key
    </Link>
  );
  const keys = data?.items;
  return (
    <>
      <Head title="Keys" about="Keys that programs use, and what each may do.">
        {create}
      </Head>
      <search className="filters">
        <SearchField text={value("name")} onText={(text) => ask("name", isLikeKey(text) ? "" : text)} />
        <Choice label="Status" value={value("status")} of={CHOICES} onChoice={(text) => ask("status", text)} />
        <label className="field">
          Owner
          <select value={value("owner")} onChange={(event) => ask("owner", event.target.value)}>
            <option value="">Anyone</option>
            <option value="none">The organization</option>
            {me.user !== null && <option value={me.user.id}>Me</option>}
            {value("owner") !== "" && value("owner") !== "none" && value("owner") !== me.user?.id && (
              <option value={value("owner")}>One user</option>
            )}
          </select>
        </label>
        <PermissionField held={held} text={value("permission")} onText={(text) => ask("permission", text)} />
        <Choice label="Sort" value={sort} of={SORTS} onChoice={(text) => ask("sort", text)} />
      </search>
      {error !== null && <Failure of={error} retry={refetch} />}
      {isMistyped && (
        <p className="wrong" role="alert">
          “{typed}” is no permission: it is resource:action, like files:read.
        </p>
      )}
      {selected.size > 0 && <BulkBar keys={[...selected.values()]} clear={() => setSelected(new Map())} />}
      {!isFiltered && keys?.length === 1 && keys[0]?.id === me.api_key?.id && <FirstSteps org={org} />}
      <div className="card table" aria-busy={isPlaceholderData} hidden={keys === undefined && error !== null}>
        {keys === undefined && error === null && <Loading lines={8} what="Loading keys" />}
        {keys?.length === 0 &&
          (isFiltered || value("after") !== "" ? <NothingFound clear={clear} /> : <NoKeys>{create}</NoKeys>)}
        {keys !== undefined && keys.length > 0 && (
          <KeyTable
            org={org}
            keys={keys}
            sets={sets}
            selected={can("api_keys:write") && value("status") !== "revoked" ? selected : null}
            select={setSelected}
          />
        )}
      </div>
      {data !== undefined && <Pager next={data.next} />}
    </>
  );
}

/** The text of a key has no place in an address. "Try a key" tells what it is. */
function isLikeKey(text: string): boolean {
  return /\S{40,}/.test(text);
}

function SearchField({ text, onText }: { text: string; onText: (text: string) => void }) {
  return (
    <label className="field">
      Search by name
      <input type="search" value={text} onChange={(event) => onText(event.target.value)} />
    </label>
  );
}

function PermissionField({
  held,
  text,
  onText,
}: {
  held: string[] | null;
  text: string;
  onText: (text: string) => void;
}) {
  const isWrong = text.trim() !== "" && parse(text.trim()) === null;
  return (
    <label className="field">
      Has permission
      <input
        value={text}
        list="permissions-held"
        placeholder="files:read"
        aria-invalid={isWrong}
        onChange={(event) => onText(event.target.value)}
      />
      <datalist id="permissions-held">
        {(held ?? []).map((permission) => (
          <option key={permission} value={permission} />
        ))}
      </datalist>
    </label>
  );
}

function NothingFound({ clear }: { clear: () => void }) {
  return (
    <Empty title="No keys match">
      <p>Ask for less, or look at all of them.</p>
      <button type="button" onClick={clear}>
        Show all keys
      </button>
    </Empty>
  );
}

/** Until there is another key than one's own. */
function FirstSteps({ org }: { org: string }) {
  return (
    <section className="card steps" aria-label="First steps">
      <h2>First steps</h2>
      <ol>
        <li>
          <Link to={`/orgs/${org}/keys/new`}>Create a key</Link> for a program that calls your service.
        </li>
        <li>
          Let your service ask whether keys are good: with a key of its own, which holds only{" "}
          <code>api_keys:verify</code>.
        </li>
        <li>
          <Link to={`/orgs/${org}/try`}>Try a key</Link>, and see what your service would be told.
        </li>
      </ol>
    </section>
  );
}

function NoKeys({ children }: { children: ReactNode }) {
  return (
    <Empty title="No keys yet">
      <p>A key lets a program call your services. Begin with one, give it only what it needs, and hand it over once.</p>
      {children}
    </Empty>
  );
}
