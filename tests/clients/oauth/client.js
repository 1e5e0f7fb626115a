// OAuth 2.0 with openid-client: discovery, client credentials, token exchange, introspection, revocation; and tokens that jose
// validates offline, with the published keys.
import assert from "node:assert/strict";
import { createRemoteJWKSet, jwtVerify } from "jose";
import * as oauth from "openid-client";

const base = process.argv[2];
const signUp = await fetch(`${base}/auth/create-key`, {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ user_name: "Olga", user_email: "olga@example.com" }),
});
const { api_key: admin, org_id: organization } = (await signUp.json()).data;
const create = async (permissions) => {
  const response = await fetch(`${base}/orgs/${organization}/api_keys`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${admin}` },
    body: JSON.stringify({ name: "storage client", permissions }),
  });
  return response.json();
};
const { id, key } = await create(["api_keys:verify", "files:read", "files:write"]);

for (const authenticate of [oauth.ClientSecretBasic, oauth.ClientSecretPost]) {
  const config = await oauth.discovery(new URL(base), id, undefined, authenticate(key), {
    algorithm: "oauth2",
    execute: [oauth.allowInsecureRequests],
  });
  const metadata = config.serverMetadata();
  assert.deepEqual([metadata.issuer, metadata.response_types_supported], [base, []]);

  const granted = await oauth.clientCredentialsGrant(config, { audience: "storage", scope: "files:read" });
  assert.deepEqual([granted.token_type, granted.expires_in, granted.scope], ["bearer", 300, "files:read"]);
  const exchanged = await oauth.genericGrantRequest(config, "urn:ietf:params:oauth:grant-type:token-exchange", {
    subject_token: key,
    subject_token_type: "urn:ietf:params:oauth:token-type:access_token",
    resource: "https://storage.example/",
  });
  assert.equal(exchanged.issued_token_type, "urn:ietf:params:oauth:token-type:access_token");

  const keys = createRemoteJWKSet(new URL(metadata.jwks_uri));
  const expected = { issuer: base, typ: "at+jwt", algorithms: ["EdDSA"], audience: "storage" };
  const { payload } = await jwtVerify(granted.access_token, keys, expected);
  assert.deepEqual([payload.client_id, payload.sub, payload.org_id, payload.scope], [id, id, organization, "files:read"]);
  await jwtVerify(exchanged.access_token, keys, { ...expected, audience: "https://storage.example/" });
  await assert.rejects(jwtVerify(exchanged.access_token, keys, expected), { code: "ERR_JWT_CLAIM_VALIDATION_FAILED" });

  const ofKey = await oauth.tokenIntrospection(config, key);
  assert.deepEqual([ofKey.active, ofKey.client_id, ofKey.scope], [true, id, "api_keys:verify files:read files:write"]);
  const ofToken = await oauth.tokenIntrospection(config, granted.access_token);
  assert.deepEqual([ofToken.active, ofToken.aud, ofToken.scope], [true, "storage", "files:read"]);
  await oauth.tokenRevocation(config, granted.access_token);
  assert.deepEqual(await oauth.tokenIntrospection(config, granted.access_token), { active: false });
  assert.equal((await oauth.tokenIntrospection(config, exchanged.access_token)).active, true);

  const refused = (promise, status, error) => assert.rejects(promise, { status, error });
  await refused(oauth.clientCredentialsGrant(config, { audience: "storage", scope: "files:delete" }), 400, "invalid_scope");
  await refused(oauth.clientCredentialsGrant(config, {}), 400, "invalid_target");
  const impostor = new oauth.Configuration(metadata, id, undefined, authenticate(admin));
  oauth.allowInsecureRequests(impostor);
  if (authenticate === oauth.ClientSecretBasic) {
    // The library reads the challenge.
    const code = { code: "OAUTH_WWW_AUTHENTICATE_CHALLENGE" };
    await assert.rejects(oauth.clientCredentialsGrant(impostor, { audience: "storage" }), code);
  } else {
    await assert.rejects(oauth.clientCredentialsGrant(impostor, { audience: "storage" }), { status: 401 });
  }
}
console.log("openid-client and jose: discovery, both grants, introspection and revocation work");
