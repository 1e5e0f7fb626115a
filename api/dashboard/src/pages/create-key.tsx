// A new key: a form that says while one types what the key will be able to do, then its text, once.

import { useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { Link, useNavigate } from "react-router";
import { client, done, Problem, type Schemas } from "../api/client.ts";
import { useSets } from "../api/lookups.ts";
import { Failure, Head, Notice } from "../parts/basics.tsx";
import { Dialog } from "../parts/dialog.tsx";
import { KeyForm, Mistakes } from "../parts/key-form.tsx";
import { KeySummary } from "../parts/key-summary.tsx";
import { isFinished } from "../parts/permission-picker.tsx";
import { Lost, Secret } from "../parts/secret.tsx";
import { useAction } from "../parts/use-action.ts";
import { useOnce } from "../parts/use-once.ts";
import { check, type Draft, EMPTY, granted, toCreate, type Wrong } from "../rules/draft.ts";
import { useOrganization } from "../session.tsx";

export function CreateKey() {
  const { org, held, can } = useOrganization();
  const queries = useQueryClient();
  const navigate = useNavigate();
  const sets = useSets(org, can("permission_sets:read"));
  const [draft, setDraft] = useState<Draft>(EMPTY);
  const [wrong, setWrong] = useState<Wrong>({});
  const { isBusy, problem, run } = useAction();
  const [made, setMade] = useState<Schemas["CreatedApiKey"] | null>(null);
  const header = useOnce(draft);

  const change = (part: Partial<Draft>) => {
    setDraft((draft) => ({ ...draft, ...part }));
    setWrong({});
  };

  const create = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const mistakes = check(draft);
    setWrong(mistakes);
    if (Object.keys(mistakes).length > 0 || !isFinished(event.currentTarget)) return;
    return run(async () => {
      try {
        const params = { path: { org_id: org }, header };
        setMade(await done(client.POST("/orgs/{org_id}/api_keys", { params, body: toCreate(draft) })));
      } catch (problem) {
        if (problem instanceof Problem) setWrong(problem.fields);
        throw problem;
      }
      window.scrollTo(0, 0);
      await queries.invalidateQueries({ queryKey: ["keys", org] });
    });
  };

  if (made !== null) {
    const finish = () => navigate(`/orgs/${org}/keys/${made.id}`);
    return (
      <>
        <Head title="Create a key" />
        <Dialog title={`${made.name} is ready`} onClose={null}>
          {made.key === null ? (
            <Lost onDone={finish} />
          ) : (
            <Secret secret={made.key} permission={granted(draft, sets)[0]} onDone={finish} done="I have stored it" />
          )}
        </Dialog>
      </>
    );
  }
  if (!can("api_keys:write")) {
    return (
      <>
        <Head title="Create a key" />
        <Notice tone="warn">
          <span>You cannot create keys here: that needs the permission api_keys:write. Ask an administrator.</span>
        </Notice>
      </>
    );
  }
  return (
    <>
      <Head title="Create a key" about="It belongs to the organization, not to you." />
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
            <KeySummary draft={draft} sets={sets} held={held} isNew />
          </section>
          {problem !== null && <Failure of={problem} />}
          <Mistakes of={wrong} />
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
