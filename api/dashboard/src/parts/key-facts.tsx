// What a key is, at a glance.

import type { Key, PermissionSet } from "../api/client.ts";
import { day, each } from "../rules/time.ts";
import { Chips, Count, Time } from "./basics.tsx";
import { Left, names } from "./key-table.tsx";
import { CopyButton } from "./secret.tsx";
import { KeyName, Owner, ShortId, UserName } from "./names.tsx";

export function KeyFacts({ org, of, sets }: { org: string; of: Key; sets: PermissionSet[] }) {
  return (
    <>
      <section className="card" aria-label="What it may do">
        <h2>What it may do</h2>
        <dl className="facts">
          <dt>Permissions</dt>
          <dd>
            <Chips of={of.permissions} sets={names(of, sets)} most={30} />
          </dd>
          <dt>Belongs to</dt>
          <dd>
            <Owner org={org} user={of.user_id} />
          </dd>
          <dt>Rate limit</dt>
          <dd>
            {of.rate_limit_max === null || of.rate_limit_window === null ? (
              <span className="faint">none</span>
            ) : (
              <>
                <Count of={of.rate_limit_max} /> per {each(of.rate_limit_window)}
              </>
            )}
          </dd>
          <dt>Uses left</dt>
          <dd>
            <Left of={of} />
          </dd>
          <dt>From</dt>
          <dd>{of.allowed_addresses?.join(", ") ?? <span className="faint">any address</span>}</dd>
          {of.metadata !== null && (
            <>
              <dt>Metadata</dt>
              <dd>
                <code>{JSON.stringify(of.metadata)}</code>
              </dd>
            </>
          )}
        </dl>
      </section>
      <section className="card" aria-label="History">
        <h2>History</h2>
        <dl className="facts">
          <dt>Last used</dt>
          <dd>
            <Time at={of.last_used_at} />
          </dd>
          <dt>Uses</dt>
          <dd>
            <Count of={of.request_count} />
          </dd>
          <dt>Expires</dt>
          <dd>
            <Time at={of.expires_at} />
          </dd>
          {of.not_before !== null && (
            <>
              <dt>Valid from</dt>
              <dd>
                <Time at={of.not_before} />
              </dd>
            </>
          )}
          <dt>Created</dt>
          <dd>
            {day(of.created_at)} by <Maker org={org} of={of.created_by} />
          </dd>
          <dt>Changed</dt>
          <dd>
            <Time at={of.updated_at} />
          </dd>
          {of.external_id !== null && (
            <>
              <dt>External id</dt>
              <dd>{of.external_id}</dd>
            </>
          )}
          <dt>Id</dt>
          <dd>
            <span className="row">
              <ShortId of={of.id} /> <CopyButton text={of.id} what="id" />
            </span>
          </dd>
        </dl>
      </section>
    </>
  );
}

function Maker({ org, of }: { org: string; of: Key["created_by"] }) {
  if (of.id === null) return <>the operator</>;
  return of.type === "user" ? <UserName org={org} id={of.id} /> : <KeyName org={org} id={of.id} />;
}
