// Exporting the keys of a list as CSV.

import { client, type Key, type KeyQuery, type PermissionSet, unwrapPage } from "../../../api/client.ts";
import { download, toCsv } from "../../../lib/csv.ts";
import { keyColumns } from "../../../lib/keys/key-csv.ts";
import { ExportButtons, useExport } from "../../export-button.tsx";

/** Keys in one request of an export. */
const PAGE_SIZE = 1_000;

interface Props {
  org: string;
  /** The filters and the order of the list. */
  query: KeyQuery;
  sets: PermissionSet[];
}

export function ExportKeys({ org, query, sets }: Props) {
  const state = useExport();
  const setName = (id: string) => sets.find((set) => set.id === id)?.name ?? id;
  const start = () =>
    state.run<Key>(
      (cursor, signal) => {
        const params = { path: { org_id: org }, query: { ...query, limit: PAGE_SIZE, ...(cursor && { cursor }) } };
        return unwrapPage(client.GET("/orgs/{org_id}/api_keys", { params, signal }));
      },
      (keys) => download("keys.csv", "text/csv", toCsv(keyColumns(Date.now(), setName), keys)),
    );
  return <ExportButtons state={state} items="keys" formats={[["Export CSV", () => void start()]]} />;
}
