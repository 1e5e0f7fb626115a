// Is this key good? Check by check, and nothing is counted.

import { CircleCheck, CircleX } from "lucide-react";
import { type FormEvent, useEffect, useRef, useState } from "react";
import { client, done, type Schemas, type Verdict } from "../api/client.ts";
import { Chips, Failure, Head, Notice } from "../parts/basics.tsx";
import { Field } from "../parts/field.tsx";
import { KeyName } from "../parts/names.tsx";
import { checkWords, reasonWords } from "../rules/checks.ts";
import { parse } from "../rules/permissions.ts";
import { useAction } from "../parts/use-action.ts";
import { useOrganization } from "../session.tsx";

export function TryKey() {
  const { org, isPlatform, can } = useOrganization();
  const field = useRef<HTMLInputElement>(null);
  // The key that is being tried. Never in the state: it would end up in the page.
  const tried = useRef<string | null>(null);
  const [isKnown, setKnown] = useState(false);
  const [permissions, setPermissions] = useState("");
  const [ip, setIp] = useState("");
  // Of what was asked last: nothing that is older is shown.
  const asked = useRef(0);
  const [verdict, setVerdict] = useState<Verdict | null>(null);
  const { isBusy, problem, run, forget: forgetProblem } = useAction();
  useEffect(
    () => () => {
      tried.current = null;
    },
    [],
  );

  const outdate = () => {
    asked.current += 1;
    setVerdict(null);
    forgetProblem();
  };
  const forget = () => {
    tried.current = null;
    setKnown(false);
    outdate();
  };
  const needed = permissions.split(/[\s,]+/).filter((text) => text !== "");
  const mistaken = needed.find((text) => parse(text) === null);

  const ask = (event: FormEvent) => {
    event.preventDefault();
    const typed = field.current?.value.trim() ?? "";
    if (typed !== "") {
      tried.current = typed;
      setKnown(true);
      if (field.current !== null) field.current.value = "";
    }
    const key = tried.current;
    if (key === null || mistaken !== undefined) return;
    outdate();
    const question = asked.current;
    return run(async () => {
      const body: Schemas["VerifyApiKey"] = {
        key,
        permissions: needed,
        ...(ip !== "" && { context: { ip } }),
        ...(isPlatform && { org_id: org }),
      };
      const answer = await done(client.POST("/api_keys/verify", { params: { query: { explain: true } }, body }));
      if (asked.current === question) setVerdict(answer);
    });
  };

  return (
    <>
      <Head title="Try a key" about="See what your services would be told, and why. Nothing is counted." />
      <div className="grid">
        <form className="card stack" onSubmit={ask}>
          <Field
            label="Key"
            hint={
              isKnown
                ? "Trying the key that you pasted. Paste another one, or ask again."
                : "It is sent to the service, and not kept on this page."
            }
          >
            <input ref={field} type="password" autoComplete="off" spellCheck={false} placeholder="cvg_…" />
          </Field>
          <Field
            label="Permissions that are needed"
            hint="With spaces between. Empty: none is asked for."
            wrong={mistaken === undefined ? undefined : `${mistaken} is no permission.`}
          >
            <input
              className="mono"
              value={permissions}
              spellCheck={false}
              placeholder="files:read"
              onChange={(event) => {
                setPermissions(event.target.value);
                outdate();
              }}
            />
          </Field>
          <Field label="Caller's IP address" hint="For keys that are bound to addresses.">
            <input
              value={ip}
              placeholder="203.0.113.7"
              onChange={(event) => {
                setIp(event.target.value.trim());
                outdate();
              }}
            />
          </Field>
          <div className="row">
            <button
              type="submit"
              className="primary"
              disabled={isBusy || !can("api_keys:verify") || !can("api_keys:read")}
            >
              Check key
            </button>
            {isKnown && (
              <button type="button" onClick={forget}>
                Clear
              </button>
            )}
          </div>
          {(!can("api_keys:verify") || !can("api_keys:read")) && (
            <p className="hint">Trying keys needs the permissions api_keys:verify and api_keys:read.</p>
          )}
        </form>
        <div aria-live="polite">
          {problem !== null && <Failure of={problem} />}
          {verdict !== null && <Answer org={org} of={verdict} />}
        </div>
      </div>
    </>
  );
}

function Answer({ org, of }: { org: string; of: Verdict }) {
  const checks = of.checks ?? [];
  return (
    <section className="card stack" aria-label="The answer">
      <Notice tone={of.valid ? "good" : "bad"}>
        <strong>{of.valid ? "The key is good" : `The key is not good: ${reasonWords(of.code)}`}</strong>
        {of.key_id !== null && (
          <span>
            It is <KeyName org={org} id={of.key_id} />.
          </span>
        )}
      </Notice>
      <ol className="checks">
        {checks.map((check) => (
          <li key={check.check}>
            {check.passed ? (
              <CircleCheck size={18} className="yes" aria-label="Passed" />
            ) : (
              <CircleX size={18} className="no" aria-label="Failed" />
            )}
            <span>{checkWords(check)}</span>
          </li>
        ))}
      </ol>
      {of.permissions !== null && (
        <div>
          <p className="hint">What it was given</p>
          <Chips of={of.permissions} most={20} />
        </div>
      )}
    </section>
  );
}
