// Passkeys of the browser (WebAuthn): the JSON of the service to and from what the browser takes and returns.

/** Any JSON object. */
type Json = Record<string, unknown>;

/** The browser or the person has not used a passkey. The message says why. */
export class PasskeyError extends Error {}

/** Whether a host is an IP address, as it is in URLs. */
const isAddress = (hostname: string) => /^[\d.]+$/.test(hostname) || hostname.startsWith("[");

/** Whether the browser has passkeys on this page: they need a secure origin with a name. */
export function hasPasskeys(): boolean {
  const { PublicKeyCredential, isSecureContext, location } = window;
  return isSecureContext && typeof PublicKeyCredential === "function" && !isAddress(location.hostname);
}

/** Why passkeys do not work on this page. */
export function whyNoPasskeys({ hostname, protocol }: { hostname: string; protocol: string }): string {
  if (isAddress(hostname)) {
    const name = hostname === "127.0.0.1" || hostname === "[::1]" ? "localhost" : "the name of the service";
    return `Passkeys do not work at an IP address. Open this page at ${name}.`;
  }
  if (protocol !== "https:" && hostname !== "localhost")
    return "Passkeys need https. Open this page at an https address.";
  return "The service has no passkeys here. Its operator can set its public URL (CLAVIGER_PUBLIC_ORIGIN) and a signing key.";
}

/** The bytes of a base64url text. */
export function fromBase64url(text: string): Uint8Array<ArrayBuffer> {
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}

/** Bytes as base64url, without padding. */
export function toBase64url(bytes: ArrayBuffer): string {
  const binary = Array.from(new Uint8Array(bytes), (byte) => String.fromCharCode(byte)).join("");
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

interface Descriptor {
  id: string;
  type: "public-key";
  transports?: AuthenticatorTransport[];
}

const descriptors = (list: unknown) =>
  ((list ?? []) as Descriptor[]).map((descriptor) => ({ ...descriptor, id: fromBase64url(descriptor.id) }));

/** The options for a new passkey, from `PublicKeyCredentialCreationOptionsJSON`. */
export function creationOptions(json: Json): PublicKeyCredentialCreationOptions {
  const user = json.user as { id: string; name: string; displayName: string };
  return {
    ...(json as unknown as PublicKeyCredentialCreationOptions),
    challenge: fromBase64url(json.challenge as string),
    user: { ...user, id: fromBase64url(user.id) },
    excludeCredentials: descriptors(json.excludeCredentials),
  };
}

/** The options to sign in, from `PublicKeyCredentialRequestOptionsJSON`. */
export function requestOptions(json: Json): PublicKeyCredentialRequestOptions {
  return {
    ...(json as unknown as PublicKeyCredentialRequestOptions),
    challenge: fromBase64url(json.challenge as string),
    allowCredentials: descriptors(json.allowCredentials),
  };
}

/** A credential as `RegistrationResponseJSON` or `AuthenticationResponseJSON`. */
export function toJson(credential: PublicKeyCredential): Json {
  const { response } = credential;
  const shared = {
    id: credential.id,
    rawId: toBase64url(credential.rawId),
    type: credential.type,
    authenticatorAttachment: credential.authenticatorAttachment,
    clientExtensionResults: {},
  };
  const clientDataJSON = toBase64url(response.clientDataJSON);
  if ("attestationObject" in response) {
    const created = response as AuthenticatorAttestationResponse;
    const attestationObject = toBase64url(created.attestationObject);
    return { ...shared, response: { clientDataJSON, attestationObject, transports: created.getTransports() } };
  }
  const signed = response as AuthenticatorAssertionResponse;
  return {
    ...shared,
    response: {
      clientDataJSON,
      authenticatorData: toBase64url(signed.authenticatorData),
      signature: toBase64url(signed.signature),
      userHandle: signed.userHandle === null ? null : toBase64url(signed.userHandle),
    },
  };
}

/** Asks for a new passkey. Throws {@link PasskeyError}. */
export function createPasskey(json: Json): Promise<Json> {
  return ask(() => navigator.credentials.create({ publicKey: creationOptions(json) }));
}

/** Asks for a passkey to sign in with. Throws {@link PasskeyError}. */
export function askForPasskey(json: Json): Promise<Json> {
  return ask(() => navigator.credentials.get({ publicKey: requestOptions(json) }));
}

async function ask(operation: () => Promise<Credential | null>): Promise<Json> {
  const credential = await operation().catch((cause: unknown) => {
    throw new PasskeyError(passkeyMessage(cause));
  });
  if (credential === null) throw new PasskeyError(passkeyMessage(null));
  return toJson(credential as PublicKeyCredential);
}

/** What went wrong in the browser, and what to do about it. */
export function passkeyMessage(cause: unknown): string {
  switch (cause instanceof DOMException ? cause.name : null) {
    case "NotAllowedError":
      return "No passkey was used: it was canceled, or it took too long. Try again.";
    case "InvalidStateError":
      return "This device or password manager already has a passkey of your account. Use another one.";
    case "NotSupportedError":
    case "ConstraintError":
      return "This device cannot store passkeys with a fingerprint, face or PIN. Use another device or a security key.";
    case "SecurityError":
      return "Passkeys do not work at this address. Open the page at the public URL of the service.";
    default:
      return "The browser could not use a passkey. Try again, or use another browser.";
  }
}
