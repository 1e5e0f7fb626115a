// Verifying a key with an explanation of each check, without counting a use.

import { CircleCheck, CircleX } from "lucide-react";
import { type FormEvent, useEffect, useRef, useState } from "react";
import { client, hasReason, type Schemas, unwrap, type Verdict } from "../api/client.ts";
import { useDeletion } from "../api/queries.ts";
import { CreatorName, KeyName } from "../components/names.tsx";
import { PermissionChips } from "../components/permission-chips.tsx";
import { ErrorNotice } from "../components/ui/error-notice.tsx";
import { Field } from "../components/ui/field.tsx";
import { Notice } from "../components/ui/notice.tsx";
import { PageHeader } from "../components/ui/page-header.tsx";
import { useAction } from "../hooks/use-action.ts";
import { useOrganization } from "../hooks/use-organization.ts";
import { pastedSecret } from "../lib/keys/pasted-secret.ts";
import { hasSecretToTry, takeSecretToTry } from "../lib/keys/secret-to-try.ts";
import { parsePermission } from "../lib/permissions.ts";
import { formatExact } from "../lib/time.ts";
import { checkText, DENY_TEXTS } from "../lib/keys/verify-checks.ts";

export function TryKey() {
  const { org, isPlatform, can } = useOrganization();
  const input = useRef<HTMLInputElement>(null);
  // The secret to verify. Not in the state, so that it is never rendered into the page.
  const secret = useRef<string | null>(null);
  const [hasSecret, setHasSecret] = useState(hasSecretToTry);
  const [permissions, setPermissions] = useState("");
  const [ip, setIp] = useState("");
  // Number of the last request: responses to earlier ones are not shown.
  const lastRequest = useRef(0);
  const [verdict, setVerdict] = useState<Verdict | null>(null);
  /** The key that has or had the secret, if the verification does not know it. */
  const [found, setFound] = useState<FoundKey | null>(null);
  const { isBusy, error, run, clearError } = useAction();
  useEffect(() => {
    // One that was pasted into the search of keys.
    secret.current = takeSecretToTry();
    return () => {
      secret.current = null;
    };
  }, []);

  const clearResult = () => {
    lastRequest.current += 1;
    setVerdict(null);
    setFound(null);
    clearError();
  };
  const clearSecret = () => {
    secret.current = null;
    setHasSecret(false);
    clearResult();
  };
  const required = permissions.split(/[\s,]+/).filter((text) => text !== "");
  const invalid = required.find((text) => parsePermission(text) === null);

  const verify = (event: FormEvent) => {
    event.preventDefault();
    const typed = pastedSecret(input.current?.value ?? "");
    if (typed !== "") {
      secret.current = typed;
      setHasSecret(true);
      if (input.current !== null) input.current.value = "";
    }
    const key = secret.current;
    if (key === null || invalid !== undefined) return;
    clearResult();
    const request = lastRequest.current;
    return run(async () => {
      const body: Schemas["VerifyApiKeyRequest"] = {
        key,
        permissions: required,
        ...(ip !== "" && { context: { ip } }),
        ...(isPlatform && { org_id: org }),
      };
      const verdict = await unwrap(client.POST("/api_keys/verify", { params: { query: { explain: true } }, body }));
      const found = verdict.code === "INVALID_API_KEY" && can("api_keys:read") ? await findKey(org, key) : null;
      if (lastRequest.current !== request) return;
      setVerdict(verdict);
      setFound(found);
    });
  };

  const canTry = can("api_keys:verify") && can("api_keys:read");
  return (
    <>
      <PageHeader
        title="Try a key"
        description="See the result that your services would get, and why. No use is counted."
      />
      <div className="card-grid">
        <form className="card stack" onSubmit={verify}>
          <Field
            label="Key"
            hint={
              hasSecret
                ? "Using the key that you pasted. Paste another one to replace it."
                : "Sent to the service, and not stored on this page."
            }
          >
            <input ref={input} type="password" autoComplete="off" spellCheck={false} placeholder="cvg_…" />
          </Field>
          <Field
            label="Required permissions"
            hint="Separated by spaces. Empty: none."
            error={invalid === undefined ? undefined : `${invalid} is not a valid permission.`}
          >
            <input
              className="monospace"
              value={permissions}
              spellCheck={false}
              placeholder="files:read"
              onChange={(event) => {
                setPermissions(event.target.value);
                clearResult();
              }}
            />
          </Field>
          <Field label="Client IP address" hint="For keys with allowed IP addresses.">
            <input
              value={ip}
              placeholder="203.0.113.7"
              onChange={(event) => {
                setIp(event.target.value.trim());
                clearResult();
              }}
            />
          </Field>
          <div className="row">
            <button type="submit" className="primary" disabled={isBusy || !canTry}>
              Check key
            </button>
            {hasSecret && (
              <button type="button" onClick={clearSecret}>
                Clear
              </button>
            )}
          </div>
          {!canTry && <p className="hint">Trying keys needs the permissions api_keys:verify and api_keys:read.</p>}
        </form>
        <div aria-live="polite">
          {error !== null && <ErrorNotice error={error} />}
          {verdict !== null && <Result org={org} verdict={verdict} found={found} />}
        </div>
      </div>
    </>
  );
}

type FoundKey = Schemas["FoundApiKey"];

/** The key that has or had a secret; null: there is none. */
async function findKey(org: string, secret: string): Promise<FoundKey | null> {
  const params = { path: { org_id: org } };
  try {
    return await unwrap(client.POST("/orgs/{org_id}/api_keys/find", { params, body: { key: secret } }));
  } catch (error) {
    if (hasReason(error, "not_found")) return null;
    throw error;
  }
}

/** What became of a key or of its secret, which a verification does not say. */
function WhatHappened({ org, found }: { org: string; found: FoundKey }) {
  return (
    <span>
      It is {found.secret_status === "newest" ? "the secret" : "an earlier secret"} of{" "}
      <KeyName org={org} id={found.id} />
      {found.deleted_at === null ? (
        found.secret_status === "expired" && ", which was replaced and is not valid any more"
      ) : (
        <Revoked org={org} apiKey={found} />
      )}
      .
    </span>
  );
}

function Revoked({ org, apiKey }: { org: string; apiKey: FoundKey }) {
  const { data: deletion } = useDeletion(org, apiKey.id);
  return (
    <>
      , revoked on {formatExact(apiKey.deleted_at ?? "")}
      {deletion?.deleted_by != null && (
        <>
          {" "}
          by <CreatorName org={org} creator={deletion.deleted_by} />
        </>
      )}
    </>
  );
}

function Result({ org, verdict, found }: { org: string; verdict: Verdict; found: FoundKey | null }) {
  const { code, key_id: id, permissions, checks = [] } = verdict;
  return (
    <section className="card stack" aria-label="Result">
      <Notice tone={code === "VALID" ? "success" : "danger"}>
        <strong>{code === "VALID" ? "The key is valid" : `The key is not valid: ${DENY_TEXTS[code]}`}</strong>
        {id !== null && (
          <span>
            Key: <KeyName org={org} id={id} />
          </span>
        )}
        {found !== null && <WhatHappened org={org} found={found} />}
      </Notice>
      <ol className="check-list">
        {checks.map((check) => (
          <li key={check.check}>
            {check.passed ? (
              <CircleCheck size={18} className="passed" aria-label="Passed" />
            ) : (
              <CircleX size={18} className="failed" aria-label="Failed" />
            )}
            <span>{checkText(check)}</span>
          </li>
        ))}
      </ol>
      {permissions !== null && (
        <div>
          <p className="hint">Permissions</p>
          <PermissionChips permissions={permissions} max={20} />
        </div>
      )}
    </section>
  );
}
