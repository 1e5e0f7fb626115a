// The settings and the history of a key.

import type { ReactNode } from "react";
import type { Key, PermissionSet } from "../../api/client.ts";
import { FIELD_LIST, type KeyField, type KeyFieldName } from "../../lib/keys/key-fields.ts";
import { setNames } from "../../lib/permissions.ts";
import { formatDay, formatExact } from "../../lib/time.ts";
import { CreatorName, Owner } from "../names.tsx";
import { PermissionChips } from "../permission-chips.tsx";
import { CopyButton } from "../ui/copy-button.tsx";
import { FormattedNumber } from "../ui/formatted-number.tsx";
import { RelativeTime } from "../ui/relative-time.tsx";
import { UsesLeft } from "./uses-left.tsx";

interface Props {
  org: string;
  apiKey: Key;
  sets: PermissionSet[];
}

export function KeyDetails({ org, apiKey, sets }: Props) {
  return (
    <>
      <section className="card" aria-label="Permissions and limits">
        <h2>Permissions and limits</h2>
        <dl className="description-list">
          <dt>Permissions</dt>
          <dd>
            <PermissionChips permissions={apiKey.permissions} sets={setNames(apiKey.permission_sets, sets)} max={30} />
          </dd>
          <dt>Owner</dt>
          <dd>
            <Owner org={org} user={apiKey.user_id} />
          </dd>
          <Settings apiKey={apiKey} section="access" />
        </dl>
      </section>
      <section className="card" aria-label="Details">
        <h2>Details</h2>
        <dl className="description-list">
          <Settings apiKey={apiKey} section="details" />
          <dt>Last used</dt>
          <dd>
            <RelativeTime at={apiKey.last_used_at} />
          </dd>
          <dt>Total uses</dt>
          <dd>
            <FormattedNumber value={apiKey.request_count} />
          </dd>
          <dt>Created</dt>
          <dd>
            <time dateTime={apiKey.created_at} title={formatExact(apiKey.created_at)}>
              {formatDay(apiKey.created_at)}
            </time>{" "}
            by <CreatorName org={org} creator={apiKey.created_by} />
          </dd>
          <dt>Last changed</dt>
          <dd>
            <RelativeTime at={apiKey.updated_at} />
          </dd>
          <dt>Id</dt>
          <dd>
            <span className="row">
              <code className="small">{apiKey.id}</code> <CopyButton text={apiKey.id} label="id" />
            </span>
          </dd>
        </dl>
      </section>
    </>
  );
}

/** Settings that are shown as something else than their text in the list of changes. */
const CUSTOM: Partial<Record<KeyFieldName, (key: Key) => ReactNode>> = {
  can_manage: (key) =>
    key.can_manage ? "managing Claviger, as far as its permissions allow" : "your own API; it cannot manage Claviger",
  expires_at: (key) => <RelativeTime at={key.expires_at} />,
  not_before: (key) => <RelativeTime at={key.not_before} />,
  remaining: (key) => <UsesLeft apiKey={key} />,
  metadata: (key) => <code>{JSON.stringify(key.metadata)}</code>,
};

/** The settings of one section of the page. */
function Settings({ apiKey, section }: { apiKey: Key; section: KeyField<unknown>["details"] }) {
  return FIELD_LIST.filter(([, field]) => field.details === section).map(([name, field]) => {
    const value = field.fromKey(apiKey);
    const isSet = JSON.stringify(value) !== JSON.stringify(field.initial);
    if (!isSet && !field.isAlwaysShown) return null;
    const text = field.format(value, (id) => id);
    return (
      <div key={name} className="contents">
        <dt>{field.label}</dt>
        <dd>{CUSTOM[name]?.(apiKey) ?? (isSet ? text : <span className="muted">{text}</span>)}</dd>
      </div>
    );
  });
}
