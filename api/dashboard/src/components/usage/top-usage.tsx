// Who verifies most: by key, by owner, or by external id. Only the chosen list is read.

import { useState } from "react";
import { RankedList } from "./ranked-list.tsx";

const GROUPS = [
  ["api_key", "Keys"],
  ["user", "Owners"],
  ["external_id", "External ids"],
] as const;

export function TopUsage({ org, from }: { org: string; from: string }) {
  const [group, setGroup] = useState<(typeof GROUPS)[number][0]>("api_key");
  return (
    <section className="card stack" aria-label="Most verifications">
      <h2>Most verifications</h2>
      <div className="tabs">
        {GROUPS.map(([name, label]) => (
          <button key={name} type="button" aria-pressed={name === group} onClick={() => setGroup(name)}>
            {label}
          </button>
        ))}
      </div>
      <RankedList
        org={org}
        query={{ group_by: group, from, limit: 10 }}
        emptyText="No existing key was verified in this period."
      />
    </section>
  );
}
