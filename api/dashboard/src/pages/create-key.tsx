// A new key: a form that says while one types what the key will be able to do, then its text, once.

import { useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useEffect, useState } from "react";
import { Link, useNavigate } from "react-router";
import { client, done, once, Problem, type Schemas } from "../api/client.ts";
import { useSets } from "../api/lookups.ts";
import { Failure, Head } from "../parts/basics.tsx";
import { KeyForm } from "../parts/key-form.tsx";
import { KeySummary } from "../parts/key-summary.tsx";
import { Secret } from "../parts/secret.tsx";
import { check, type Draft, EMPTY, granted, toCreate, type Wrong } from "../rules/draft.ts";
import { useOrganization } from "../session.tsx";

export function CreateKey() {
  const { org, held, can } = useOrganization();
  const queries = useQueryClient();
  const navigate = useNavigate();
  const sets = useSets(org, can("permission_sets:read"));
  const [draft, setDraft] = useState<Draft>(EMPTY);
  const [wrong, setWrong] = useState<Wrong>({});
  const [problem, setProblem] = useState<unknown>(null);
  const [isBusy, setBusy] = useState(false);
  const [made, setMade] = useState<Schemas["CreatedApiKey"] | null>(null);
  // The same word for the same form, so that what was sent twice is made once.
  const [header, setHeader] = useState(once);
  useEffect(() => (made === null ? undefined : () => setMade(null)), [made]);

  const change = (part: Partial<Draft>) => {
    setDraft((draft) => ({ ...draft, ...part }));
    setHeader(once);
    setWrong({});
  };

  const create = async (event: FormEvent) => {
    event.preventDefault();
    const mistakes = check(draft);
    setWrong(mistakes);
    setProblem(null);
    if (Object.keys(mistakes).length > 0) return;
    setBusy(true);
    try {
      const params = { path: { org_id: org }, header };
      setMade(await done(client.POST("/orgs/{org_id}/api_keys", { params, body: toCreate(draft) })));
      window.scrollTo(0, 0);
      await queries.invalidateQueries({ queryKey: ["keys", org] });
    } catch (problem) {
      setProblem(problem);
      if (problem instanceof Problem) setWrong(problem.fields);
    } finally {
      setBusy(false);
    }
  };

  if (made !== null && made.key !== null) {
    return (
      <>
        <Head key="made" title={`${made.name} is ready`} />
        <div className="card">
          <Secret
            secret={made.key}
            permission={granted(draft, sets)[0]}
            onDone={() => navigate(`/orgs/${org}/keys/${made.id}`)}
            done="I have stored it"
          />
        </div>
      </>
    );
  }
  return (
    <>
      <Head title="Create a key" about="It belongs to the organization, and goes on when you leave." />
      <form className="columns" onSubmit={create} noValidate>
        <div className="stack">
          <KeyForm
            draft={draft}
            change={change}
            wrong={wrong}
            held={held}
            sets={sets}
            mayLimit={can("org:admin")}
            isNew
          />
        </div>
        <div className="stack aside">
          <section className="card" aria-label="What this key will be able to do">
            <h2>This key</h2>
            <KeySummary draft={draft} sets={sets} held={held} />
          </section>
          {problem !== null && <Failure of={problem} />}
          {Object.keys(wrong).length > 0 && problem === null && (
            <p className="wrong" role="alert">
              Something above is not right yet: {Object.values(wrong).join(" ")}
            </p>
          )}
          <div className="row">
            <button type="submit" className="primary" disabled={isBusy}>
              {isBusy ? "Creating…" : "Create key"}
            </button>
            <Link to={`/orgs/${org}/keys`} className="button">
              Cancel
            </Link>
          </div>
        </div>
      </form>
    </>
  );
}
