// All settings of a key to change, with what would change shown before it is saved.

import { useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useMemo, useState } from "react";
import { client, done, type Key, type PermissionSet, Problem } from "../api/client.ts";
import { check, type Draft, differences, draftOf, isExact, rebase, toUpdate, type Wrong } from "../rules/draft.ts";
import { useOrganization } from "../session.tsx";
import { Failure, Notice } from "./basics.tsx";
import { KeyForm, Mistakes } from "./key-form.tsx";
import { KeySummary } from "./key-summary.tsx";
import { isFinished } from "./permission-picker.tsx";
import { useSay } from "./toast.tsx";
import { useAction } from "./use-action.ts";

export function Settings({ org, of, sets }: { org: string; of: Key; sets: PermissionSet[] }) {
  const { held, can } = useOrganization();
  const queries = useQueryClient();
  const say = useSay();
  // The key as it was when the form was filled: what somebody else changes meanwhile must not empty it.
  const [base, setBase] = useState(of);
  const from = useMemo(() => draftOf(base), [base]);
  const [draft, setDraft] = useState<Draft>(from);
  const [wrong, setWrong] = useState<Wrong>({});
  const [isRebased, setRebased] = useState(false);
  const { isBusy, problem, run, forget } = useAction();
  const setName = (id: string) => sets.find((set) => set.id === id)?.name ?? id;
  const changes = differences(from, draft, setName);
  const begin = (key: Key) => {
    setBase(key);
    setDraft(draftOf(key));
  };
  if (changes.length === 0 && of.version !== base.version) begin(of);

  const undo = () => {
    begin(of);
    setWrong({});
    setRebased(false);
    forget();
  };

  const save = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const mistakes = check(draft, from);
    setWrong(mistakes);
    setRebased(false);
    if (Object.keys(mistakes).length > 0 || !isFinished(event.currentTarget)) return;
    return run(async () => {
      const path = { org_id: org, key_id: of.id };
      // Only if nobody has changed it since it was read.
      const params = { path, header: { "If-Match": `"${base.version}"` } };
      try {
        const key = await done(
          client.PATCH("/orgs/{org_id}/api_keys/{key_id}", { params, body: toUpdate(from, draft) }),
        );
        say("Saved. It holds from now on.");
        queries.setQueryData(["key", org, of.id], key);
        begin(key);
      } catch (problem) {
        if (problem instanceof Problem && problem.status === 412) {
          const key = await done(client.GET("/orgs/{org_id}/api_keys/{key_id}", { params: { path } }));
          queries.setQueryData(["key", org, of.id], key);
          setBase(key);
          setDraft(rebase(draft, from, draftOf(key)));
          setRebased(true);
          return;
        }
        if (problem instanceof Problem) setWrong(problem.fields);
        throw problem;
      }
      await queries.invalidateQueries({ queryKey: ["keys", org] });
      await queries.invalidateQueries({ queryKey: ["events", org] });
    });
  };

  if (!can("api_keys:write")) return <p className="faint">Changing keys needs the permission api_keys:write.</p>;
  return (
    <form className="columns" onSubmit={save} noValidate>
      <div className="stack">
        <KeyForm
          draft={draft}
          change={(part) => {
            setDraft({ ...draft, ...part });
            setWrong({});
          }}
          wrong={wrong}
          held={held}
          sets={sets}
          mayLimit={can("org:admin")}
          isNew={false}
          mayChangeMetadata={isExact(base.metadata)}
        />
      </div>
      <div className="stack aside">
        <section className="card" aria-label="Changes">
          <h2>{changes.length === 0 ? "Nothing changed yet" : "What will change"}</h2>
          {changes.length === 0 ? (
            <KeySummary draft={draft} sets={sets} held={held} isNew={false} />
          ) : (
            <ul className="can" aria-live="polite">
              {changes.map(({ what, before, after }) => (
                <li key={what} className="changed">
                  <span>
                    <strong>{what}</strong>
                    <br />
                    <span className="was">{before}</span> → {after}
                  </span>
                </li>
              ))}
            </ul>
          )}
        </section>
        {isRebased && (
          <div role="alert">
            <Notice tone="warn">
              <strong>Somebody else has changed this key meanwhile.</strong>
              <span>Nothing was saved. Their changes are in the form now, under yours: look again, and save.</span>
            </Notice>
          </div>
        )}
        <Mistakes of={wrong} />
        {problem !== null && <Failure of={problem} />}
        <div className="row">
          <button type="submit" className="primary" disabled={isBusy || changes.length === 0}>
            Save changes
          </button>
          <button type="button" disabled={changes.length === 0} onClick={undo}>
            Undo
          </button>
        </div>
      </div>
    </form>
  );
}
