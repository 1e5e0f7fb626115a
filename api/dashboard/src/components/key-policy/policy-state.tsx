// What the policies say about one key: broken rules, and when it is to be rotated or would be disabled.

import { useQuery } from "@tanstack/react-query";
import { client, type Key, unwrap } from "../../api/client.ts";
import { useNow } from "../../hooks/use-now.ts";
import { useOrganization } from "../../hooks/use-organization.ts";
import { RULE_NAMES } from "../../lib/key-policy.ts";
import { inWordsOfForm } from "../../lib/messages.ts";
import { DAY } from "../../lib/time.ts";
import { Badge } from "../ui/badge.tsx";
import { Notice } from "../ui/notice.tsx";
import { RelativeTime } from "../ui/relative-time.tsx";

/** A time is announced this long before. */
const WARNING_TIME = 14 * DAY;

export function PolicyState({ apiKey }: { apiKey: Key }) {
  const { org } = useOrganization();
  const now = useNow();
  const { data } = useQuery({
    // A change of the key can change what it breaks.
    queryKey: ["key-policy", org, apiKey.id, apiKey.version],
    queryFn: ({ signal }) => {
      const params = { path: { org_id: org, key_id: apiKey.id } };
      return unwrap(client.GET("/orgs/{org_id}/api_keys/{key_id}/key_policy", { params, signal }));
    },
    retry: false,
  });
  if (data === undefined) return null;
  const isSoon = (at: string | null): at is string => at !== null && Date.parse(at) - now < WARNING_TIME;
  const { rotation_due_at, disabled_unless_rotated_at, disabled_unless_used_at } = data;
  const isOverdue = data.broken_rules.some(({ rule }) => rule === "rotation");
  return (
    <>
      {data.broken_rules.length > 0 && (
        <div role="status">
          <Notice tone="warning">
            <strong>This key breaks rules for keys.</strong>
            <ul className="plain-list" aria-label="Broken rules">
              {data.broken_rules.map(({ rule, permission_set_id, message }) => (
                <li key={`${rule} ${permission_set_id}`}>
                  <Badge tone="warning">{RULE_NAMES[rule]}</Badge> Breaks a rule of{" "}
                  {permission_set_id === null ? "the organization" : "a permission set"}: {inWordsOfForm(message)}.
                </li>
              ))}
            </ul>
          </Notice>
        </div>
      )}
      {isSoon(disabled_unless_rotated_at) ? (
        <Notice tone="danger">
          <strong>Rotate the secret.</strong>
          <span>
            Otherwise this key is disabled <Deadline at={disabled_unless_rotated_at} />.
          </span>
        </Notice>
      ) : (
        isSoon(rotation_due_at) &&
        !isOverdue && (
          <Notice tone="warning">
            <strong>Rotate the secret soon.</strong>
            <span>
              It is due <RelativeTime at={rotation_due_at} />.
            </span>
          </Notice>
        )
      )}
      {isSoon(disabled_unless_used_at) && (
        <Notice tone="warning">
          <strong>This key is not used.</strong>
          <span>
            It is disabled <Deadline at={disabled_unless_used_at} /> unless it is used or changed.
          </span>
        </Notice>
      )}
    </>
  );
}

/** When a key is disabled. Once the time has come, that takes minutes. */
function Deadline({ at }: { at: string }) {
  return Date.parse(at) <= useNow() ? "within minutes" : <RelativeTime at={at} />;
}
