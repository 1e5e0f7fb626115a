// The settings of the customers' portal: its name, logo and color, and the pages that can embed it.

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { type ChangeEvent, type FormEvent, useState } from "react";
import { client, type Schemas, unwrap } from "../../api/client.ts";
import { useAction } from "../../hooks/use-action.ts";
import { useToast } from "../../hooks/use-toast.ts";
import { useUnsavedChanges } from "../../hooks/use-unsaved-changes.ts";
import { ErrorNotice } from "../ui/error-notice.tsx";
import { Field } from "../ui/field.tsx";
import { Loading } from "../ui/loading.tsx";
import { PortalSessions } from "./portal-sessions.tsx";

type Settings = Schemas["Portal"];

/** The color input has a color even if none is set: that of the dashboard. */
const DEFAULT_COLOR = "#4338ca";

/** The largest logo, in bytes. */
const MAX_LOGO_BYTES = 32 * 1024;

interface Props {
  org: string;
  canChange: boolean;
  /** Whether the caller can list and end the sessions of customers. */
  canEndSessions: boolean;
}

export function PortalSettings({ org, canChange, canEndSessions }: Props) {
  const { data, error, refetch } = useQuery({
    queryKey: ["org", org, "portal"],
    queryFn: () => unwrap(client.GET("/orgs/{org_id}/portal", { params: { path: { org_id: org } } })),
  });
  return (
    <section className="card stack" aria-label="Portal">
      <h2>Portal</h2>
      <p>
        A page on which your customers manage their own API keys. Your backend opens it for a customer with{" "}
        <code>{`POST /orgs/${org}/portal_sessions`}</code>.
      </p>
      {error !== null && <ErrorNotice error={error} retry={refetch} />}
      {data === undefined && error === null && <Loading label="Loading the portal" />}
      {data !== undefined && canChange && <SettingsForm key={JSON.stringify(data)} org={org} settings={data} />}
      {data !== undefined && !canChange && (
        <dl className="description-list">
          <dt>Name</dt>
          <dd>{data.name ?? <span className="muted">that of the organization</span>}</dd>
          <dt>Embedded by</dt>
          <dd>{data.origins.join(", ") || <span className="muted">no website</span>}</dd>
        </dl>
      )}
      {canEndSessions && <PortalSessions org={org} />}
    </section>
  );
}

function SettingsForm({ org, settings }: { org: string; settings: Settings }) {
  const queries = useQueryClient();
  const toast = useToast();
  const [name, setName] = useState(settings.name ?? "");
  const [color, setColor] = useState(settings.color);
  const [logo, setLogo] = useState(settings.logo);
  const [logoError, setLogoError] = useState<string>();
  const [origins, setOrigins] = useState(settings.origins.join("\n"));
  const { isBusy, error, run } = useAction();
  const list = origins.split(/\s+/).filter((origin) => origin !== "");
  const body = {
    ...(name.trim() !== (settings.name ?? "") && { name: name.trim() || null }),
    ...(color !== settings.color && { color }),
    ...(logo !== settings.logo && { logo }),
    ...(list.join("\n") !== settings.origins.join("\n") && { origins: list }),
  };
  const isChanged = Object.keys(body).length > 0;
  useUnsavedChanges(isChanged);
  const save = (event: FormEvent) => {
    event.preventDefault();
    return run(async () => {
      const updated = await unwrap(client.PATCH("/orgs/{org_id}/portal", { params: { path: { org_id: org } }, body }));
      queries.setQueryData(["org", org, "portal"], updated);
      toast("Saved.");
    });
  };
  const readLogo = (event: ChangeEvent<HTMLInputElement>) => {
    const file = event.target.files?.[0];
    if (file === undefined) return;
    if (file.size > MAX_LOGO_BYTES) {
      setLogoError("The image must be at most 32 KiB.");
      return;
    }
    setLogoError(undefined);
    const reader = new FileReader();
    reader.addEventListener("load", () => setLogo(String(reader.result)));
    reader.readAsDataURL(file);
  };
  return (
    <form className="stack" onSubmit={save}>
      <Field label="Name" hint="Default: the name of the organization.">
        <input value={name} maxLength={100} onChange={(event) => setName(event.target.value)} />
      </Field>
      <div className="field-pair">
        <Field label="Color" hint="Of buttons and links. Texts on them stay readable.">
          <input type="color" value={color ?? DEFAULT_COLOR} onChange={(event) => setColor(event.target.value)} />
        </Field>
        <Field
          label="Logo"
          hint={logo === null ? "PNG, JPEG or WebP, at most 32 KiB." : "A logo is set. Choose a file to replace it."}
          error={logoError}
        >
          <input type="file" accept="image/png,image/jpeg,image/webp" onChange={readLogo} />
        </Field>
      </div>
      {(color !== null || logo !== null) && (
        <div className="row">
          {color !== null && (
            <button type="button" className="small" onClick={() => setColor(null)}>
              Use the default color
            </button>
          )}
          {logo !== null && (
            <button type="button" className="small" onClick={() => setLogo(null)}>
              Remove the logo
            </button>
          )}
        </div>
      )}
      <Field
        label="Websites that can embed the portal"
        hint="One origin per line, such as https://shop.example.com. If empty, no website can embed it."
      >
        <textarea value={origins} rows={3} spellCheck={false} onChange={(event) => setOrigins(event.target.value)} />
      </Field>
      {error !== null && <ErrorNotice error={error} />}
      <div className="row">
        <button type="submit" disabled={isBusy || !isChanged}>
          Save
        </button>
      </div>
    </form>
  );
}
