// The client of openapi-generator converts requests and responses by code: all fields that are set are sent, and no others.
import {
  AthenaApi,
  Configuration,
  KeysApi,
  LiveKitApi,
  MembersApi,
  PermissionSetsApi,
  ResponseError,
  VerificationApi,
} from "./client";

declare const process: { argv: string[]; exit(code: number): never };

function check(condition: boolean, what: string): asserts condition {
  if (!condition) {
    console.error(`typescript-fetch client: ${what}`);
    process.exit(1);
  }
}

async function lifecycle(basePath: string): Promise<void> {
  const as = (key: string) => new Configuration({ basePath, headers: { Authorization: `Bearer ${key}` } });
  const signUpRequest = { userName: "Fay Fetch", userEmail: "fay@example.com", orgName: "Fetch" };
  const { apiKey, orgId } = (await new LiveKitApi(new Configuration({ basePath })).signUp({ signUpRequest })).data;
  const admin = as(apiKey);
  const [keys, athena, sets] = [new KeysApi(admin), new AthenaApi(admin), new PermissionSetsApi(admin)];
  const members = new MembersApi(admin);

  // Maps of permissions are sent unchanged: a key without the permission is not valid.
  const reader = await keys.createApiKey({ orgId, createApiKeyRequest: { name: "r", permissions: ["files:read"] } });
  check(reader.allowedAddresses === null && reader.metadata === null, "a minimal key");
  const key = reader.key ?? "";
  const lacking = await athena.verifyAthenaKey({ athenaVerifyKeyRequest: { key, permissions: { files: ["write"] } } });
  check(!lacking.valid && lacking.error?.code === "INSUFFICIENT_PERMISSIONS", "a permission that the key lacks");
  const held = await athena.verifyAthenaKey({
    athenaVerifyKeyRequest: { key, permissions: { files: ["read"] }, context: { ip: "192.0.2.1" } },
  });
  check(held.valid && held.error === null && held.key?.permissions?.["files"]?.[0] === "read", "a permission that the key has");
  const made = await athena.createAthenaKey({
    athenaCreateKeyRequest: { permissions: { files: ["write"] }, metadata: { tier: "gold" }, remaining: 2 },
  });
  check(made.permissions?.["files"]?.[0] === "write" && made.metadata?.["tier"] === "gold", "maps of a new key");
  const changed = await athena.updateAthenaKey({ athenaUpdateKeyRequest: { keyId: made.id, metadata: { tier: "iron" } } });
  check(changed.metadata?.["tier"] === "iron" && changed.permissions?.["files"]?.[0] === "write", "a changed map");

  // Large numbers, and null for a nullable reference.
  const month = 30 * 24 * 3_600_000;
  const minimal = await new VerificationApi(admin).verifyApiKey({ verifyApiKeyRequest: { key } });
  check(minimal.valid && minimal.rateLimit === null && minimal.remaining === null, "a key without limits");
  const limits = { remaining: 5, refillAmount: 5, refillInterval: month, rateLimitMax: 100, rateLimitWindow: month };
  const metered = await keys.createApiKey({
    orgId,
    createApiKeyRequest: { name: "metered", permissions: ["files:read"], ...limits },
  });
  const found = (await keys.listApiKeys({ orgId })).find((listed) => listed.id === metered.id);
  check(found?.refillInterval === month && found.rateLimitWindow === month, "limits of 30 days in a list");
  const secret = metered.key ?? "";
  const verify = (key: string, permissions?: string[]) =>
    new VerificationApi(admin).verifyApiKey({ verifyApiKeyRequest: { key, permissions } });
  const verdict = await verify(secret, ["files:read"]);
  check(verdict.valid && verdict.rateLimit?.limit === 100 && verdict.remaining === 4, "a held permission");
  check((await verify(secret, ["files:write"])).code === "INSUFFICIENT_PERMISSIONS", "a lacked permission");

  // Fields that are not set are not sent.
  const createPermissionSetRequest = { name: "readers", permissions: ["files:read"] };
  const set = await sets.createPermissionSet({ orgId, createPermissionSetRequest });
  const renamed = await sets.updatePermissionSet({
    orgId,
    setId: set.id,
    updatePermissionSetRequest: { name: "viewers" },
  });
  check(renamed.name === "viewers" && renamed.permissions[0] === "files:read", "a renamed permission set");
  const addMemberRequest = { userEmail: "flo@example.com", userName: "Flo", permissions: ["files:write"] };
  const { userId } = await members.addMember({ orgId, addMemberRequest });
  const member = await members.updateMember({ orgId, userId, updateMemberRequest: { permissionSets: [set.id] } });
  check(member.permissions[0] === "files:write" && member.permissionSets[0] === set.id, "a member with a permission set");

  // Rotate and delete.
  const one = { orgId, keyId: metered.id };
  const rotated = await keys.rotateApiKey({ ...one, rotateApiKeyRequest: { graceSeconds: 0 } });
  const renewed = rotated.key ?? "";
  check(renewed !== "" && renewed !== secret, "rotate");
  check((await verify(secret)).code === "INVALID_API_KEY", "the previous secret");
  check((await verify(renewed)).remaining === 3, "the new secret");
  check((await keys.deleteApiKey(one)).message === "API key deleted successfully", "delete");
  const gone = await keys.getApiKey(one).catch((error: unknown) => error);
  check(gone instanceof ResponseError && gone.response.status === 404, "a deleted key");
  check((await verify(renewed)).code === "INVALID_API_KEY", "the secret of a deleted key");
  console.log("typescript-fetch client: the lifecycle of a key works");
}

lifecycle(process.argv[2] ?? "").catch((error: unknown) => {
  console.error("typescript-fetch client:", error);
  process.exit(1);
});
