// Passkeys: signing in, registering, and those of the caller.

import { queryOptions } from "@tanstack/react-query";
import { askForPasskey, createPasskey } from "../lib/passkey.ts";
import { client, type Me, type Schemas, unwrap } from "./client.ts";

/** The ways to sign in. */
export const signInOptionsQuery = queryOptions({
  queryKey: ["sign-in options"],
  queryFn: () => unwrap(client.GET("/sign_in")),
  staleTime: Number.POSITIVE_INFINITY,
});

/** The passkeys of the caller. */
export const passkeysQuery = queryOptions({
  queryKey: ["passkeys"],
  queryFn: () => unwrap(client.GET("/me/passkeys")),
});

/** Whether the caller signs in with passkeys. */
export function isPasskeyAccount(me: Me): boolean {
  return me.identity?.issuer === "urn:claviger:passkey";
}

/** Signs in with a passkey. */
export async function signInWithPasskey(): Promise<void> {
  const { public_key, ceremony } = await unwrap(client.POST("/session/passkey_options"));
  const credential = await askForPasskey(public_key);
  await unwrap(client.POST("/session/passkey", { body: { ceremony, credential } }));
}

/** Registers an account with a new passkey, and signs in. Returns the organization. */
export async function registerWithPasskey(account: Schemas["PasskeyAccountRequest"]): Promise<string> {
  const { public_key, ceremony } = await unwrap(client.POST("/passkey_options", { body: account }));
  const credential = await createPasskey(public_key);
  return (await unwrap(client.POST("/passkeys", { body: { ...account, ceremony, credential } }))).org_id;
}

/** Adds a new passkey to the account of the caller. */
export async function addPasskey(name: string): Promise<void> {
  const { public_key, ceremony } = await unwrap(client.POST("/me/passkey_options"));
  const credential = await createPasskey(public_key);
  await unwrap(client.POST("/me/passkeys", { body: { ceremony, credential, name } }));
}
