// Creating an organization, whose first member signs in with a passkey.

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useEffect, useState } from "react";
import { Link, useNavigate } from "react-router";
import { registerWithPasskey, signInOptionsQuery } from "../api/passkeys.ts";
import { meQuery } from "../api/session.ts";
import { ErrorNotice } from "../components/ui/error-notice.tsx";
import { Field } from "../components/ui/field.tsx";
import { Loading } from "../components/ui/loading.tsx";
import { useAction } from "../hooks/use-action.ts";
import icon from "../icon.svg";
import { hasPasskeys, whyNoPasskeys } from "../lib/passkey.ts";

export function SignUp() {
  const { data, error, refetch } = useQuery(signInOptionsQuery);
  useEffect(() => {
    document.title = "Create an organization · Claviger";
  }, []);
  return (
    <main className="sign-in-page">
      <div className="card stack">
        <div className="brand">
          <img src={icon} alt="" /> Claviger
        </div>
        <h1>Create an organization</h1>
        {error !== null && <ErrorNotice error={error} retry={refetch} />}
        {data === undefined && error === null && <Loading label="Loading" />}
        {data?.sign_up === false && <p>Sign-up is closed. Ask the operator of the service.</p>}
        {data?.sign_up === true &&
          (data.passkeys && hasPasskeys() ? <SignUpForm /> : <p>{whyNoPasskeys(window.location)}</p>)}
        <p className="small">
          <Link to="/">Sign in instead</Link>
        </p>
      </div>
    </main>
  );
}

function SignUpForm() {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const [organization, setOrganization] = useState("");
  const [name, setName] = useState("");
  const [email, setEmail] = useState("");
  const { isBusy, error, run } = useAction();
  const signUp = (event: FormEvent) => {
    event.preventDefault();
    return run(async () => {
      const org = await registerWithPasskey({
        user_name: name.trim(),
        user_email: email.trim(),
        ...(organization.trim() !== "" && { org_name: organization.trim() }),
      });
      await queries.fetchQuery({ ...meQuery, staleTime: 0 });
      await navigate(`/orgs/${org}/keys`, { replace: true });
    });
  };
  return (
    <form className="stack" onSubmit={signUp}>
      <Field label="Organization" hint="Optional. You can change it later.">
        <input value={organization} maxLength={100} onChange={(event) => setOrganization(event.target.value)} />
      </Field>
      <Field label="Your name">
        <input
          value={name}
          required
          maxLength={100}
          autoComplete="name"
          onChange={(event) => setName(event.target.value)}
        />
      </Field>
      <Field label="E-mail address" hint="No mail is sent.">
        <input
          type="email"
          value={email}
          required
          autoComplete="email"
          onChange={(event) => setEmail(event.target.value)}
        />
      </Field>
      {error !== null && <ErrorNotice error={error} />}
      <button type="submit" className="primary" disabled={isBusy}>
        Create a passkey and sign up
      </button>
      <p className="small muted">
        A passkey is stored by your device or password manager, and unlocked with a fingerprint, a face or a PIN. There
        is no password.
      </p>
    </form>
  );
}
