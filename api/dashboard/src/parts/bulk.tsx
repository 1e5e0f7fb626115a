// What is done to many keys at once: switched off, or revoked.

import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { client, done, type Key, once, Problem } from "../api/client.ts";
import { useOrganization } from "../session.tsx";
import { Confirm } from "./confirm.tsx";
import { Consequences } from "./consequences.tsx";
import { useSay } from "./toast.tsx";
import { useAction } from "./use-action.ts";

/** Requests at once; the service takes the changes of one organization in turns anyway. */
const AT_ONCE = 4;

/** The most keys that one call revokes. */
const MOST = 1_000;

export function BulkBar({ keys, clear }: { keys: Key[]; clear: () => void }) {
  const [asked, setAsked] = useState<"disable" | "revoke" | null>(null);
  return (
    <section className="selected spread" aria-label="Selected keys">
      <strong>{counted(keys.length)} selected</strong>
      <span className="row">
        <button type="button" className="small" onClick={() => setAsked("disable")}>
          Disable
        </button>
        <button type="button" className="small danger" onClick={() => setAsked("revoke")}>
          Revoke
        </button>
        <button type="button" className="small plain" onClick={clear}>
          Clear selection
        </button>
      </span>
      {asked !== null && <Ask keys={keys} what={asked} onClose={() => setAsked(null)} onDone={clear} />}
    </section>
  );
}

interface Props {
  keys: Key[];
  what: "disable" | "revoke";
  onClose: () => void;
  onDone: () => void;
}

function Ask({ keys, what, onClose, onDone }: Props) {
  const { org } = useOrganization();
  const queries = useQueryClient();
  const say = useSay();
  const action = useAction();
  const count = counted(keys.length);
  const verb = what === "revoke" ? "Revoke" : "Disable";

  const act = () =>
    action.run(async () => {
      try {
        const changed = await (what === "revoke" ? revoke(org, keys) : disable(org, keys));
        say(`${counted(changed)} ${what}d.`);
        onDone();
        onClose();
      } finally {
        await queries.invalidateQueries({ queryKey: ["keys", org] });
      }
    });

  return (
    <Confirm title={`${verb} ${count}?`} verb={`${verb} ${count}`} action={action} onConfirm={act} onClose={onClose}>
      <p>
        {what === "revoke"
          ? "Whoever uses them is refused from now on, everywhere. Revoked keys can be restored for a while; then they are gone."
          : "Whoever uses them is refused from now on, until somebody enables them again."}
      </p>
      <p className="small">{namesOf(keys)}</p>
      <Consequences keys={keys} />
    </Confirm>
  );
}

function counted(count: number): string {
  return count === 1 ? "1 key" : `${count} keys`;
}

/** The first of them by name. */
function namesOf(keys: Key[]): string {
  const named = keys.slice(0, 10).map((key) => key.name || `${key.start}…`);
  return keys.length > named.length ? `${named.join(", ")} and ${keys.length - named.length} more` : named.join(", ");
}

/** Revokes them; how many there still were. */
async function revoke(org: string, keys: Key[]): Promise<number> {
  let revoked = 0;
  for (let begin = 0; begin < keys.length; begin += MOST) {
    const ids = keys.slice(begin, begin + MOST).map((key) => key.id);
    const params = { path: { org_id: org }, header: once() };
    revoked += (await done(client.POST("/orgs/{org_id}/api_keys/bulk_delete", { params, body: { ids } }))).deleted;
  }
  return revoked;
}

/** Switches those off that are not; how many. */
async function disable(org: string, keys: Key[]): Promise<number> {
  const waiting = keys.filter((key) => key.enabled);
  const failed: unknown[] = [];
  let disabled = 0;
  const work = async () => {
    for (let key = waiting.shift(); key !== undefined; key = waiting.shift()) {
      const path = { org_id: org, key_id: key.id };
      try {
        await done(client.PATCH("/orgs/{org_id}/api_keys/{key_id}", { params: { path }, body: { enabled: false } }));
        disabled += 1;
      } catch (problem) {
        // One that has gone meanwhile is not in use either.
        if (!(problem instanceof Problem && problem.status === 404)) failed.push(problem);
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  if (failed.length > 0) throw failed[0];
  return disabled;
}
