// How to protect an API with keys: in its own code, or in the gateway before it.

import { useState } from "react";
import { useOrganization } from "../../../hooks/use-organization.ts";
import { serviceUrl } from "../../../lib/service-url.ts";
import { CopyButton } from "../../ui/copy-button.tsx";
import { type Gateway, GATEWAYS } from "./gateway-examples.ts";
import { EXAMPLES, type Language } from "./verify-examples.ts";

interface Props {
  /** A permission of the key, for the examples. */
  permission: string | undefined;
}

const LANGUAGES = Object.keys(EXAMPLES) as Language[];
const WAYS: ("Code" | Gateway)[] = ["Code", ...(Object.keys(GATEWAYS) as Gateway[])];

export function ProtectApi({ permission }: Props) {
  const { org } = useOrganization();
  const [way, setWay] = useState<"Code" | Gateway>("Code");
  const [language, setLanguage] = useState<Language>("curl");
  const example =
    way === "Code" ? EXAMPLES[language](serviceUrl(), permission) : GATEWAYS[way](location.origin, org, permission);
  return (
    <section className="stack" aria-label="Protect an API">
      <div>
        <h3>Protect an API</h3>
        <Tabs names={WAYS} selected={way} onSelect={setWay} />
        {way === "Code" ? (
          <p className="hint">
            Your service asks on each request. It needs a key of its own: create one with the template “Service key”,
            which has only <code>api_keys:verify</code>. Middleware for Express, Fastify, FastAPI and axum is in{" "}
            <code>docs/recipes</code> of Claviger’s source.
          </p>
        ) : (
          <p className="hint">
            {way} asks on each request, without code in your API. <code>GATEWAY_SECRET</code> is the value of{" "}
            <code>CLAVIGER_FORWARD_AUTH_SECRET</code>. This is only the main part: start with the complete file in{" "}
            <code>docs/gateways</code> of Claviger’s source.
          </p>
        )}
      </div>
      {way === "Code" && <Tabs names={LANGUAGES} selected={language} onSelect={setLanguage} />}
      <pre>
        <code>{example}</code>
      </pre>
      <div className="row end">
        <CopyButton key={example} text={example} label="example" />
      </div>
    </section>
  );
}

interface TabsProps<Name extends string> {
  names: Name[];
  selected: Name;
  onSelect: (name: Name) => void;
}

function Tabs<Name extends string>({ names, selected, onSelect }: TabsProps<Name>) {
  return (
    <div className="tabs">
      {names.map((name) => (
        <button key={name} type="button" aria-pressed={name === selected} onClick={() => onSelect(name)}>
          {name}
        </button>
      ))}
    </div>
  );
}
