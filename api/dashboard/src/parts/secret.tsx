// The text of a key, this once. It is in the memory of this page while it is shown, and nowhere after that.

import { ClipboardCheck, Copy } from "lucide-react";
import { useEffect, useState } from "react";
import { keepInView } from "../session.tsx";
import { Notice } from "./basics.tsx";

interface Props {
  secret: string;
  /** One of the permissions that it has, for the examples. */
  permission: string | undefined;
  onDone: () => void;
  done: string;
}

export function Secret({ secret, permission, onDone, done }: Props) {
  const [language, setLanguage] = useState<keyof typeof SNIPPETS>("curl");
  useEffect(() => {
    const ask = (event: BeforeUnloadEvent) => event.preventDefault();
    window.addEventListener("beforeunload", ask);
    const letGo = keepInView();
    return () => {
      window.removeEventListener("beforeunload", ask);
      letGo();
    };
  }, []);
  return (
    <div className="stack">
      <Notice tone="warn">
        <strong>You will not see this key again.</strong>
        <span>
          Claviger keeps only a hash of it. Copy it now to where it will be used; if it is lost, rotate the key.
        </span>
      </Notice>
      <div className="secret">
        <output aria-label="The new key">{secret}</output>
        <CopyButton text={secret} what="key" isMain />
      </div>
      <section aria-label="Examples">
        <h3>Check it in your service</h3>
        <p className="hint">
          Your service asks with a key of its own, which may verify keys (<code>api_keys:verify</code>).
        </p>
        <div className="tabs">
          {(Object.keys(SNIPPETS) as (keyof typeof SNIPPETS)[]).map((name) => (
            <button key={name} type="button" aria-pressed={name === language} onClick={() => setLanguage(name)}>
              {name}
            </button>
          ))}
        </div>
        <pre>
          <code>{SNIPPETS[language](location.origin, secret, permission)}</code>
        </pre>
        <div className="row end">
          <CopyButton text={SNIPPETS[language](location.origin, secret, permission)} what="example" />
        </div>
      </section>
      <div className="row end">
        <button type="button" className="primary" onClick={onDone}>
          {done}
        </button>
      </div>
    </div>
  );
}

/** What is said where a key was made and its text did not arrive: nobody has it, and nobody will. */
export function Lost({ onDone }: { onDone: () => void }) {
  return (
    <div className="stack" role="alert">
      <Notice tone="bad">
        <strong>It was done, but the answer was lost on its way.</strong>
        <span>
          Nobody has the key's text. Rotate the key again, without a grace time, to get one that you can store.
        </span>
      </Notice>
      <div className="row end">
        <button type="button" className="primary" onClick={onDone}>
          Go on
        </button>
      </div>
    </div>
  );
}

export function CopyButton({ text, what, isMain = false }: { text: string; what: string; isMain?: boolean }) {
  const [state, setState] = useState<"idle" | "copied" | "failed">("idle");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setState("copied");
    } catch {
      setState("failed");
    }
  };
  return (
    <button type="button" className={isMain ? "primary" : "small"} onClick={copy}>
      {state === "copied" ? <ClipboardCheck size={17} aria-hidden /> : <Copy size={17} aria-hidden />}
      <span aria-live="polite">
        {state === "copied" ? "Copied" : state === "failed" ? "Select and copy it by hand" : `Copy ${what}`}
      </span>
    </button>
  );
}

type Snippet = (origin: string, secret: string, permission: string | undefined) => string;

const question = (permission: string | undefined) => (permission === undefined ? [] : [permission]);

const SNIPPETS = {
  curl: (origin, secret, permission) => `curl -s -X POST ${origin}/api_keys/verify \\
  -H "Authorization: Bearer $SERVICE_KEY" -H 'Content-Type: application/json' \\
  -d '${JSON.stringify({ key: secret, permissions: question(permission) })}'`,
  JavaScript: (origin, secret, permission) => `const answer = await fetch("${origin}/api_keys/verify", {
  method: "POST",
  headers: {
    Authorization: \`Bearer \${process.env.SERVICE_KEY}\`,
    "Content-Type": "application/json",
  },
  body: JSON.stringify({ key: "${secret}", permissions: ${JSON.stringify(question(permission))} }),
});
const { valid, code } = await answer.json();`,
  Python: (origin, secret, permission) => `import os, requests

answer = requests.post(
    "${origin}/api_keys/verify",
    headers={"Authorization": f"Bearer {os.environ['SERVICE_KEY']}"},
    json={"key": "${secret}", "permissions": ${JSON.stringify(question(permission))}},
).json()
print(answer["valid"], answer["code"])`,
  Rust: (origin, secret, permission) => `let answer: serde_json::Value = reqwest::Client::new()
    .post("${origin}/api_keys/verify")
    .bearer_auth(std::env::var("SERVICE_KEY")?)
    .json(&serde_json::json!({"key": "${secret}", "permissions": ${JSON.stringify(question(permission))}}))
    .send().await?
    .json().await?;`,
} satisfies Record<string, Snippet>;
