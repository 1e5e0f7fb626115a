// The text of a key that was replaced and still works: who still uses it is seen here before it ends.

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { client, done, type Key, Problem } from "../api/client.ts";
import { SECOND } from "../rules/time.ts";
import { Notice, Time } from "./basics.tsx";
import { Confirm } from "./confirm.tsx";
import { useSay } from "./toast.tsx";
import { useAction } from "./use-action.ts";

/** Uses are stored within a second; a person who watches wants to see them soon. */
const LOOK_EVERY = 3 * SECOND;

export function OldSecret({ org, of, mayEnd }: { org: string; of: Key; mayEnd: boolean }) {
  const queries = useQueryClient();
  const say = useSay();
  const path = { org_id: org, key_id: of.id };
  const action = useAction();
  const [isAsked, setAsked] = useState(false);
  const { data } = useQuery({
    queryKey: ["old secret", org, of.id, of.version],
    queryFn: async () => {
      try {
        return await done(client.GET("/orgs/{org_id}/api_keys/{key_id}/previous_secret", { params: { path } }));
      } catch (problem) {
        if (problem instanceof Problem && problem.status === 404) return null;
        throw problem;
      }
    },
    refetchInterval: LOOK_EVERY,
  });
  const end = () =>
    action.run(async () => {
      await done(client.DELETE("/orgs/{org_id}/api_keys/{key_id}/previous_secret", { params: { path } }));
      say("The old secret has ended.");
      await Promise.all([
        queries.invalidateQueries({ queryKey: ["key", org, of.id] }),
        queries.invalidateQueries({ queryKey: ["keys", org] }),
      ]);
    });
  if (data === null || data === undefined) return null;
  return (
    <Notice tone="info">
      <strong>
        The old secret <code>{data.start}…</code> still works. It ends <Time at={data.expires_at} />.
      </strong>
      <span>
        {data.last_used_at === null ? (
          "Nobody has used it since the rotation."
        ) : (
          <>
            Old secret last used <Time at={data.last_used_at} />: something has not been given the new one yet.
          </>
        )}
      </span>
      {mayEnd && (
        <span>
          <button type="button" className="small" onClick={() => setAsked(true)}>
            End the old secret now
          </button>
        </span>
      )}
      {isAsked && (
        <Confirm
          title="End the old secret now?"
          verb="End it"
          action={action}
          onConfirm={end}
          onClose={() => setAsked(false)}
        >
          <p>
            Whoever still uses <code>{data.start}…</code> is refused from now on. It cannot be brought back. The new
            secret goes on.
          </p>
        </Confirm>
      )}
    </Notice>
  );
}
