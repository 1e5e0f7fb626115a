// The filters of the key list.

import { FlaskConical, Search, SlidersHorizontal, X } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { useNavigate } from "react-router";
import type { Member, PermissionSet } from "../../../api/client.ts";
import { type FilterName, metadataFilter, type Sort, SORT_OPTIONS } from "../../../lib/keys/key-filters.ts";
import { STATUS_OPTIONS } from "../../../lib/keys/key-status.ts";
import { isProbablySecret, pastedSecret } from "../../../lib/keys/pasted-secret.ts";
import { storeSecretToTry } from "../../../lib/keys/secret-to-try.ts";
import { parsePermission } from "../../../lib/permissions.ts";
import { Notice } from "../../ui/notice.tsx";
import { SelectField } from "../../ui/select-field.tsx";
import { DebouncedField } from "./debounced-field.tsx";

const PURPOSE_OPTIONS = [
  ["", "Anything"],
  ["api", "Your own API"],
  ["claviger", "Managing Claviger"],
] as const;

interface Props {
  value: (name: FilterName) => string;
  onChange: (name: FilterName, text: string) => void;
  sort: Sort;
  onSort: (sort: Sort) => void;
  /** The caller's permissions; null: unknown. */
  held: string[] | null;
  sets: PermissionSet[];
  members: Member[];
  /** The caller's user, if there is one. */
  user: string | null;
  /** Keeps a secret out of the search. Returns whether a text is one. */
  catchSecret: (text: string) => boolean;
}

export function KeyFilters({ value, onChange, sort, onSort, held, sets, members, user, catchSecret }: Props) {
  // On a phone most filters are hidden at first.
  const [isOpen, setOpen] = useState(false);
  const ofFilter = (name: FilterName) => ({ value: value(name), onChange: (text: string) => onChange(name, text) });
  const permission = value("permission").trim();
  const metadata = value("metadata").trim();
  return (
    <search className={`filters key-filters ${isOpen ? "open" : ""}`}>
      <DebouncedField
        label="Search keys"
        type="search"
        placeholder="Name, id, external id, start of the secret"
        maxLength={255}
        onInput={catchSecret}
        {...ofFilter("search")}
      />
      <SelectField label="Status" options={STATUS_OPTIONS} {...ofFilter("status")} />
      <button type="button" className="filter-toggle" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
        <SlidersHorizontal size={16} aria-hidden /> {isOpen ? "Fewer filters" : "More filters"}
      </button>
      <SelectField
        label="Owner"
        options={ownerOptions(value("owner"), user, members)}
        className="more"
        {...ofFilter("owner")}
      />
      {sets.length > 0 && (
        <SelectField
          label="Permission set"
          options={[["", "Any"], ...sets.map(({ id, name }) => [id, name] as const)]}
          className="more"
          {...ofFilter("set")}
        />
      )}
      <DebouncedField
        label="Has permission"
        list="permissions-held"
        placeholder="files:read"
        isInvalid={permission !== "" && parsePermission(permission) === null}
        className="more"
        {...ofFilter("permission")}
      />
      <datalist id="permissions-held">
        {(held ?? []).map((permission) => (
          <option key={permission} value={permission} />
        ))}
      </datalist>
      <DebouncedField
        label="Metadata"
        placeholder="plan=pro"
        isInvalid={metadata !== "" && metadataFilter(metadata) === null}
        className="more"
        {...ofFilter("metadata")}
      />
      <SelectField label="Purpose" options={PURPOSE_OPTIONS} className="more" {...ofFilter("for")} />
      <SelectField
        label="Sort"
        value={sort}
        options={SORT_OPTIONS}
        onChange={(text) => onSort(text as Sort)}
        className="more phone-only"
      />
    </search>
  );
}

function ownerOptions(current: string, user: string | null, members: Member[]): (readonly [string, string])[] {
  const others = members.filter((member) => member.user_id !== user);
  const isKnown = ["", "none", user].includes(current) || others.some((member) => member.user_id === current);
  return [
    ["", "Anyone"],
    ["none", "The organization"],
    ...(user === null ? [] : [[user, "Me"] as const]),
    ...others.map((member) => [member.user_id, member.user_name] as const),
    ...(isKnown ? [] : [[current, "Another user"] as const]),
  ];
}

/**
 * Keeps a whole secret that was pasted into the search out of the query and the address, and offers to try it. `onSearch` gets a text
 * that is searched for nevertheless.
 */
export function usePastedSecret(org: string, onSearch: (text: string) => void) {
  const navigate = useNavigate();
  const pasted = useRef("");
  const [isPasted, setPasted] = useState(false);
  useEffect(
    () => () => {
      pasted.current = "";
    },
    [],
  );
  /** Whether a text may be a secret, and is kept for trying it. */
  const catchSecret = (text: string) => {
    const isSecret = isProbablySecret(text);
    pasted.current = isSecret ? text : "";
    setPasted(isSecret);
    return isSecret;
  };
  const forget = () => catchSecret("");
  const tryIt = () => {
    storeSecretToTry(pastedSecret(pasted.current));
    navigate(`/orgs/${org}/try`);
  };
  const searchAnyway = () => {
    onSearch(pasted.current);
    forget();
  };
  const notice = isPasted && (
    <Notice>
      <strong>That looks like a whole secret.</strong>
      <span>
        It was not searched for, and is not in the address. Find out which key it belongs to, and whether it is valid:
      </span>
      <span className="row">
        <button type="button" className="small primary" onClick={tryIt}>
          <FlaskConical size={15} aria-hidden /> Try this key
        </button>
        <button type="button" className="small" onClick={searchAnyway}>
          <Search size={15} aria-hidden /> Search for it anyway
        </button>
        <button type="button" className="small" onClick={forget}>
          <X size={15} aria-hidden /> Forget it
        </button>
      </span>
    </Notice>
  );
  return { catchSecret, notice };
}
