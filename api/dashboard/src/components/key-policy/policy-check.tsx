// The result of a dry run: which keys would break a policy.

import { Link } from "react-router";
import type { Schemas } from "../../api/client.ts";
import { type KeyPolicyInput, RULE_NAMES } from "../../lib/key-policy.ts";
import { FormattedNumber } from "../ui/formatted-number.tsx";
import { Notice } from "../ui/notice.tsx";

/** The keys that are listed. */
export const LISTED_KEYS = 20;

interface Props {
  org: string;
  policy: KeyPolicyInput | null;
  report: Schemas["KeyPolicyReport"];
}

export function PolicyCheck({ org, policy, report }: Props) {
  const { keys_breaking: count, keys_checked, is_complete } = report;
  const disabled = report.rules
    .filter(
      ({ rule }) =>
        rule === "disable_unused_after_days" || (rule === "rotation" && (policy?.rotation?.enforce ?? false)),
    )
    .reduce((most, { keys }) => Math.max(most, keys), 0);
  if (count === 0) {
    return (
      <div role="status">
        <Notice tone="success">
          <strong>No key breaks these rules.</strong>
          <span>
            <Checked count={keys_checked} isComplete={is_complete} />
          </span>
        </Notice>
      </div>
    );
  }
  return (
    <div role="status" className="stack">
      <Notice tone="warning">
        <strong>
          {count === 1 ? "1 key breaks" : <FormattedNumber value={count} />}
          {count !== 1 && " keys break"} these rules.
        </strong>
        <span>
          Saving these rules does not change existing keys. A key that breaks a rule can only be restricted or rotated
          until it keeps all rules. <Checked count={keys_checked} isComplete={is_complete} />
        </span>
        {disabled > 0 && (
          <span>
            <strong>
              {disabled === 1 ? "At least 1 key is" : `At least ${disabled} keys are`} disabled soon after saving
            </strong>
            {disabled === 1
              ? ", because its secret is too old or the key is unused."
              : ", because their secrets are too old or the keys are unused."}
          </span>
        )}
      </Notice>
      <ul className="plain-list" aria-label="Keys that break the rules">
        {report.keys.map((key) => (
          <li key={key.id}>
            <Link to={`/orgs/${org}/keys/${key.id}`}>{key.name || "Unnamed key"}</Link> <code>{key.start}…</code>{" "}
            <span className="muted small">{key.rules.map((rule) => RULE_NAMES[rule]).join(", ")}</span>
          </li>
        ))}
      </ul>
      {count > report.keys.length && <p className="hint">The first {report.keys.length} keys are listed.</p>}
    </div>
  );
}

function Checked({ count, isComplete }: { count: number; isComplete: boolean }) {
  return (
    <>
      <FormattedNumber value={count} /> {count === 1 ? "key was" : "keys were"} checked
      {isComplete ? "." : ", and there are more."}
    </>
  );
}
