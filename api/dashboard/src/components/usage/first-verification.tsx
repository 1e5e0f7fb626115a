// Shown instead of charts while nothing was verified: what to do first.

import { Link } from "react-router";
import { useKeys } from "../../api/queries.ts";
import { useOrganization } from "../../hooks/use-organization.ts";
import { serviceUrl } from "../../lib/service-url.ts";
import { EXAMPLES } from "../keys/secret/verify-examples.ts";
import { CopyButton } from "../ui/copy-button.tsx";
import { Loading } from "../ui/loading.tsx";

export function FirstVerification({ org }: { org: string }) {
  const { can } = useOrganization();
  // Keys for the own API: the key of a sign-up is for managing Claviger.
  const { data, error } = useKeys(org, { can_manage: false, limit: 1 });
  if (data === undefined && error === null) return <Loading label="Loading keys" />;
  const hasKeys = data !== undefined && data.items.length > 0;
  const command = EXAMPLES.curl(serviceUrl(), undefined);
  const create = `/orgs/${org}/keys/new`;
  return (
    <section className="card stack" aria-label="Getting started">
      <div>
        <h2>{hasKeys ? "No key has been verified yet" : "Create your first key"}</h2>
        <p className="muted">
          Charts of your keys appear here with the first verification: your service asks Claviger whether a key is
          valid.
        </p>
      </div>
      <ol className="steps">
        <li>
          {can("api_keys:write") ? (
            <Link to={`${create}?template=service`}>Create a service key</Link>
          ) : (
            "Ask an administrator for a service key"
          )}{" "}
          with the permission <code>api_keys:verify</code>. Your service keeps it in <code>SERVICE_KEY</code>.
        </li>
        {!hasKeys && (
          <li>
            {can("api_keys:write") ? <Link to={create}>Create a key</Link> : "Let an administrator create a key"} for a
            program that calls your service, with the purpose “For your own API”.
          </li>
        )}
        <li>
          Verify a key as your service will. Set <code>KEY</code> to the secret of the key, and <code>SERVICE_KEY</code>{" "}
          to that of the service key:
        </li>
      </ol>
      <pre>
        <code>{command}</code>
      </pre>
      <div className="row end">
        <CopyButton text={command} label="command" />
      </div>
    </section>
  );
}
