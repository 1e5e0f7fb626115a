// What a list without keys, or with only the key of the caller, says.

import type { ReactNode } from "react";
import { Link } from "react-router";
import { EmptyState } from "../../ui/empty-state.tsx";

/** Shown while the only key is the one that the caller signed in with. */
export function FirstSteps({ org }: { org: string }) {
  return (
    <section className="card first-steps" aria-label="First steps">
      <h2>First steps</h2>
      <ol>
        <li>
          <Link to={`/orgs/${org}/keys/new`}>Create a key</Link> for a program that calls your service.
        </li>
        <li>
          <Link to={`/orgs/${org}/keys/new?template=service`}>Create a service key</Link>, with which your service
          verifies the keys of its callers: it has only the permission <code>api_keys:verify</code>.
        </li>
        <li>
          <Link to={`/orgs/${org}/try`}>Try a key</Link>, and see the result that your service would get.
        </li>
      </ol>
    </section>
  );
}

export function NoMatches({ label, onClear }: { label: string; onClear: () => void }) {
  return (
    <EmptyState title="No keys match">
      <p>Try fewer filters, or show all keys.</p>
      <button type="button" onClick={onClear}>
        {label}
      </button>
    </EmptyState>
  );
}

export function NoKeys({ children }: { children: ReactNode }) {
  return (
    <EmptyState title="No keys yet">
      <p>A key lets a program call your services. Create one, with only the permissions that it needs.</p>
      {children}
    </EmptyState>
  );
}
