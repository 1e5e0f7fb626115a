// The rules for keys of an organization, in its settings.

import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import type { Schemas } from "../../api/client.ts";
import { useOrganization } from "../../hooks/use-organization.ts";
import { useToast } from "../../hooks/use-toast.ts";
import { useUpdateOrganization } from "../../hooks/use-update-organization.ts";
import { PolicyEditor } from "./policy-editor.tsx";
import { PolicyRules } from "./policy-rules.tsx";

interface Props {
  organization: Schemas["Organization"];
  canChange: boolean;
}

export function PolicySection({ organization, canChange }: Props) {
  const { can } = useOrganization();
  const update = useUpdateOrganization(organization.id);
  const queries = useQueryClient();
  const toast = useToast();
  const [isEditing, setEditing] = useState(false);
  const policy = organization.key_policy;
  return (
    <section className="card stack" aria-label="Key policy">
      <h2>Key policy</h2>
      <p>They apply to every way in which a key is created or changed.</p>
      {isEditing ? (
        <PolicyEditor
          org={organization.id}
          set={null}
          policy={policy}
          canCheck={can("api_keys:read")}
          onSave={async (key_policy) => {
            await update({ key_policy });
            await queries.invalidateQueries({ queryKey: ["key-policy", organization.id] });
            toast(key_policy === null ? "Saved. There are no rules for keys." : "Saved. The rules apply from now on.");
            setEditing(false);
          }}
          onCancel={() => setEditing(false)}
        />
      ) : (
        <>
          {policy === null ? (
            <p className="muted">There are no rules.</p>
          ) : (
            <PolicyRules policies={[policy]} label="Rules" />
          )}
          {canChange ? (
            <div className="row">
              <button type="button" onClick={() => setEditing(true)}>
                {policy === null ? "Add policy" : "Change policy"}
              </button>
            </div>
          ) : (
            <p className="hint">Changing the rules needs the permission org:admin.</p>
          )}
        </>
      )}
    </section>
  );
}
