// The actions on one key of the list.

import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import type { Key } from "../../../api/client.ts";
import { useOrganization } from "../../../hooks/use-organization.ts";
import { useToast } from "../../../hooks/use-toast.ts";
import { Menu } from "../../ui/menu.tsx";
import { EnableKey } from "../actions/enable-key.tsx";
import { RevokeKey } from "../actions/revoke-key.tsx";
import { RotateKey } from "../actions/rotate-key.tsx";

type Operation = "rotate" | "enable" | "revoke";

export function KeyMenu({ org, apiKey }: { org: string; apiKey: Key }) {
  const { canChangeKey } = useOrganization();
  const queries = useQueryClient();
  const toast = useToast();
  const [operation, setOperation] = useState<Operation | null>(null);
  const close = () => setOperation(null);
  const onChanged = async () => {
    await Promise.all([
      queries.invalidateQueries({ queryKey: ["key", org, apiKey.id] }),
      queries.invalidateQueries({ queryKey: ["keys", org] }),
    ]);
  };
  const copy = (text: string, what: string) =>
    navigator.clipboard.writeText(text).then(
      () => toast(`The ${what} is copied.`),
      () => toast(`The browser did not allow copying the ${what}.`),
    );
  return (
    <>
      <Menu label={`Actions on ${apiKey.name || apiKey.start}`}>
        <button type="button" onClick={() => copy(apiKey.id, "id")}>
          Copy id
        </button>
        {canChangeKey(apiKey) && apiKey.deleted_at === null && (
          <>
            <button type="button" onClick={() => setOperation("rotate")}>
              Rotate
            </button>
            <button type="button" onClick={() => setOperation("enable")}>
              {apiKey.enabled ? "Disable" : "Enable"}
            </button>
            <button type="button" className="danger" onClick={() => setOperation("revoke")}>
              Revoke
            </button>
          </>
        )}
      </Menu>
      {operation === "rotate" && <RotateKey {...{ org, apiKey, onChanged }} onClose={close} />}
      {operation === "enable" && <EnableKey {...{ org, apiKey, onChanged }} onClose={close} />}
      {operation === "revoke" && (
        <RevokeKey
          org={org}
          apiKey={apiKey}
          onClose={close}
          onRevoked={async () => {
            close();
            await onChanged();
          }}
        />
      )}
    </>
  );
}
