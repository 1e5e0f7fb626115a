// The rules of policies, as a list of sentences.

import type { KeyPolicy } from "../../api/client.ts";
import { describeRules } from "../../lib/key-policy.ts";

export function PolicyRules({ policies, label }: { policies: KeyPolicy[]; label: string }) {
  const rules = [...new Set(policies.flatMap(describeRules))];
  if (rules.length === 0) return null;
  return (
    <ul aria-label={label}>
      {rules.map((rule) => (
        <li key={rule}>{rule}</li>
      ))}
    </ul>
  );
}
