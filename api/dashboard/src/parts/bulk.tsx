// What is done to many keys at once: switched off, or revoked.

import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { client, done, type Key, once, Problem } from "../api/client.ts";
import { useOrganization } from "../session.tsx";
import { Failure } from "./basics.tsx";
import { Consequences } from "./consequences.tsx";
import { Dialog } from "./dialog.tsx";
import { useSay } from "./toast.tsx";

/** Requests at once; the service takes the changes of one organization in turns anyway. */
const AT_ONCE = 4;

/** The most keys that one call revokes. */
const MOST = 1_000;

export function BulkBar({ keys, clear }: { keys: Key[]; clear: () => void }) {
  const [asked, setAsked] = useState<"disable" | "revoke" | null>(null);
  return (
    <section className="selected spread" aria-label="Selected keys">
      <strong>{keys.length === 1 ? "1 key" : `${keys.length} keys`} selected</strong>
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
      {asked !== null && <Confirm keys={keys} what={asked} onClose={() => setAsked(null)} onDone={clear} />}
    </section>
  );
}

interface Props {
  keys: Key[];
  what: "disable" | "revoke";
  onClose: () => void;
  onDone: () => void;
}

function Confirm({ keys, what, onClose, onDone }: Props) {
  const { org } = useOrganization();
  const queries = useQueryClient();
  const say = useSay();
  const [problem, setProblem] = useState<unknown>(null);
  const [isBusy, setBusy] = useState(false);
  const count = keys.length === 1 ? "1 key" : `${keys.length} keys`;

  const act = async () => {
    setBusy(true);
    setProblem(null);
    try {
      if (what === "revoke") await revoke(org, keys);
      else await disable(org, keys);
      say(`${count} ${what}d.`);
      onDone();
      onClose();
    } catch (problem) {
      setProblem(problem);
    } finally {
      setBusy(false);
      await queries.invalidateQueries({ queryKey: ["keys", org] });
    }
  };

  return (
    <Dialog title={`${what === "revoke" ? "Revoke" : "Disable"} ${count}?`} onClose={onClose}>
      <p>
        {what === "revoke"
          ? "Whoever uses them is refused from now on, everywhere. Revoked keys can be restored for a while; then they are gone."
          : "Whoever uses them is refused from now on, until somebody enables them again."}
      </p>
      <Consequences keys={keys} />
      {problem !== null && <Failure of={problem} />}
      <div className="row end">
        <button type="button" onClick={onClose}>
          Cancel
        </button>
        <button type="button" className="danger primary" disabled={isBusy} onClick={act}>
          {what === "revoke" ? "Revoke" : "Disable"} {count}
        </button>
      </div>
    </Dialog>
  );
}

async function revoke(org: string, keys: Key[]): Promise<void> {
  for (let begin = 0; begin < keys.length; begin += MOST) {
    const ids = keys.slice(begin, begin + MOST).map((key) => key.id);
    const params = { path: { org_id: org }, header: once() };
    await done(client.POST("/orgs/{org_id}/api_keys/bulk_delete", { params, body: { ids } }));
  }
}

async function disable(org: string, keys: Key[]): Promise<void> {
  const waiting = keys.filter((key) => key.enabled);
  const failed: unknown[] = [];
  const work = async () => {
    for (let key = waiting.shift(); key !== undefined; key = waiting.shift()) {
      const path = { org_id: org, key_id: key.id };
      const change = client.PATCH("/orgs/{org_id}/api_keys/{key_id}", { params: { path }, body: { enabled: false } });
      await done(change).catch((problem) => {
        // One that has gone meanwhile is not in use either.
        if (!(problem instanceof Problem && problem.status === 404)) failed.push(problem);
      });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  if (failed.length > 0) throw failed[0];
}
