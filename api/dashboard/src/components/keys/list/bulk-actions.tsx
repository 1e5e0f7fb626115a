// Disabling or revoking the selected keys.

import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { client, hasReason, idempotencyKeyHeader, type Key, unwrap } from "../../../api/client.ts";
import { useAction } from "../../../hooks/use-action.ts";
import { useOrganization } from "../../../hooks/use-organization.ts";
import { useToast } from "../../../hooks/use-toast.ts";
import { ConfirmDialog } from "../../ui/confirm-dialog.tsx";
import { RevokeImpact } from "../actions/revoke-impact.tsx";

/** Concurrent requests. More would not be faster: the service executes changes of one organization one after another. */
const CONCURRENCY = 4;

/** Maximum number of keys in one `bulk_delete` request. */
const MAX_BULK_DELETE = 1_000;

type Operation = "disable" | "revoke";

export function BulkActions({ keys, onClear }: { keys: Key[]; onClear: () => void }) {
  const [operation, setOperation] = useState<Operation | null>(null);
  return (
    <section className="bulk-bar space-between" aria-label="Selected keys">
      <strong>{countOf(keys.length)} selected</strong>
      <span className="row">
        <button type="button" className="small" onClick={() => setOperation("disable")}>
          Disable
        </button>
        <button type="button" className="small danger" onClick={() => setOperation("revoke")}>
          Revoke
        </button>
        <button type="button" className="small ghost" onClick={onClear}>
          Clear selection
        </button>
      </span>
      {operation !== null && (
        <ConfirmBulk keys={keys} operation={operation} onClose={() => setOperation(null)} onDone={onClear} />
      )}
    </section>
  );
}

interface Props {
  keys: Key[];
  operation: Operation;
  onClose: () => void;
  onDone: () => void;
}

function ConfirmBulk({ keys, operation, onClose, onDone }: Props) {
  const { org } = useOrganization();
  const queries = useQueryClient();
  const toast = useToast();
  const action = useAction();
  const label = `${operation === "revoke" ? "Revoke" : "Disable"} ${countOf(keys.length)}`;
  const execute = () =>
    action.run(async () => {
      try {
        const changed = await (operation === "revoke" ? revokeAll(org, keys) : disableAll(org, keys));
        toast(`${countOf(changed)} ${operation}d.`);
        onDone();
        onClose();
      } finally {
        await queries.invalidateQueries({ queryKey: ["keys", org] });
      }
    });
  return (
    <ConfirmDialog title={`${label}?`} confirmLabel={label} action={action} onConfirm={execute} onClose={onClose}>
      <p>
        {operation === "revoke"
          ? "They stop working at once. Revoked keys can be restored until the retention of deleted keys ends."
          : "They stop working at once, until they are enabled again."}
      </p>
      <p className="small">{namesOf(keys)}</p>
      <RevokeImpact keys={keys} />
    </ConfirmDialog>
  );
}

function countOf(count: number): string {
  return count === 1 ? "1 key" : `${count} keys`;
}

/** The names of the first keys. */
function namesOf(keys: Key[]): string {
  const first = keys.slice(0, 10).map((key) => key.name || `${key.start}…`);
  return keys.length > first.length ? `${first.join(", ")} and ${keys.length - first.length} more` : first.join(", ");
}

/** Revokes the keys. Returns how many were not revoked before. */
async function revokeAll(org: string, keys: Key[]): Promise<number> {
  let revoked = 0;
  for (let start = 0; start < keys.length; start += MAX_BULK_DELETE) {
    const ids = keys.slice(start, start + MAX_BULK_DELETE).map((key) => key.id);
    const params = { path: { org_id: org }, header: idempotencyKeyHeader() };
    const call = client.POST("/orgs/{org_id}/api_keys/bulk_delete", { params, body: { ids } });
    revoked += (await unwrap(call)).deleted;
  }
  return revoked;
}

/** Disables the keys. Returns how many were enabled before. Throws the first error after all requests. */
async function disableAll(org: string, keys: Key[]): Promise<number> {
  const queue = keys.filter((key) => key.enabled);
  const errors: unknown[] = [];
  let disabled = 0;
  const work = async () => {
    for (let key = queue.shift(); key !== undefined; key = queue.shift()) {
      const params = { path: { org_id: org, key_id: key.id } };
      try {
        await unwrap(client.PATCH("/orgs/{org_id}/api_keys/{key_id}", { params, body: { enabled: false } }));
        disabled += 1;
      } catch (error) {
        // A key that was revoked in the meantime does not work either.
        if (!hasReason(error, "not_found")) errors.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, work));
  if (errors.length > 0) throw errors[0];
  return disabled;
}
