import java.util.List;
import java.util.Map;
import java.util.UUID;
import org.openapitools.client.ApiClient;
import org.openapitools.client.ApiException;
import org.openapitools.client.api.AthenaApi;
import org.openapitools.client.api.KeysApi;
import org.openapitools.client.api.LiveKitApi;
import org.openapitools.client.api.PermissionSetsApi;
import org.openapitools.client.api.VerificationApi;
import org.openapitools.client.model.ApiKey;
import org.openapitools.client.model.AthenaVerifyKeyRequest;
import org.openapitools.client.model.CreateApiKeyRequest;
import org.openapitools.client.model.CreatePermissionSetRequest;
import org.openapitools.client.model.CreatedApiKey;
import org.openapitools.client.model.RotateApiKeyRequest;
import org.openapitools.client.model.SignUpRequest;
import org.openapitools.client.model.UpdatePermissionSetRequest;
import org.openapitools.client.model.Verdict;
import org.openapitools.client.model.VerdictCode;
import org.openapitools.client.model.VerifyApiKeyRequest;

/** The lifecycle of a key (see README.md in the folder above), with the Java client of openapi-generator. */
public final class Lifecycle {
  private static final long MONTH = 30L * 24 * 3_600_000;

  private static void check(boolean condition, String what) {
    if (!condition) {
      throw new IllegalStateException(what);
    }
  }

  private static ApiClient client(String baseUrl, String key) {
    var client = new ApiClient();
    client.updateBaseUri(baseUrl);
    if (key != null) {
      client.setRequestInterceptor(request -> request.header("Authorization", "Bearer " + key));
    }
    return client;
  }

  public static void main(String[] arguments) throws ApiException {
    var request = new SignUpRequest().userName("Jan Java").userEmail("jan@example.com").orgName("Lifecycle");
    var account = new LiveKitApi(client(arguments[0], null)).signUp(request).getData();
    var client = client(arguments[0], account.getApiKey());
    UUID org = account.getOrgId();
    var keys = new KeysApi(client);
    var sets = new PermissionSetsApi(client);
    var verification = new VerificationApi(client);

    var limits = new CreateApiKeyRequest()
        .name("metered")
        .permissions(List.of("files:read"))
        .remaining(5L)
        .refillAmount(5L)
        .refillInterval(MONTH)
        .rateLimitMax(100L)
        .rateLimitWindow(MONTH);
    CreatedApiKey created = keys.createApiKey(org, limits, null);
    String secret = created.getKey();
    List<ApiKey> listed = keys.listApiKeys(KeysApi.APIListApiKeysRequest.newBuilder().orgId(org).build());
    ApiKey found = listed.stream().filter(key -> key.getId().equals(created.getId())).findFirst().orElseThrow();
    check(found.getRefillInterval() == MONTH && found.getRateLimitWindow() == MONTH, "list");

    var question = new VerifyApiKeyRequest().key(secret).permissions(List.of("files:read"));
    Verdict held = verification.verifyApiKey(question, null);
    check(held.getValid() && held.getRemaining() == 4 && held.getRateLimit().getLimit() == 100, "a held permission");
    question = new VerifyApiKeyRequest().key(secret).permissions(List.of("files:write"));
    Verdict lacked = verification.verifyApiKey(question, null);
    check(!lacked.getValid() && lacked.getCode() == VerdictCode.INSUFFICIENT_PERMISSIONS, "a lacked permission");
    var map = new AthenaVerifyKeyRequest().key(secret).permissions(Map.of("files", List.of("write")));
    var refused = new AthenaApi(client).verifyAthenaKey(map);
    check(!refused.getValid() && refused.getError().getCode().toString().equals("INSUFFICIENT_PERMISSIONS"), "a map");

    var set = new CreatePermissionSetRequest().name("readers").permissions(List.of("files:read"));
    UUID setId = sets.createPermissionSet(org, set, null).getId();
    var renamed = sets.updatePermissionSet(org, setId, new UpdatePermissionSetRequest().name("viewers"));
    check(renamed.getName().equals("viewers"), "the name of a permission set");
    check(renamed.getPermissions().equals(List.of("files:read")), "a renamed permission set keeps its permissions");

    UUID id = created.getId();
    CreatedApiKey rotated = keys.rotateApiKey(org, id, new RotateApiKeyRequest().graceSeconds(0L), null, null);
    check(rotated.getId().equals(id) && !rotated.getKey().equals(secret), "rotate");
    Verdict previous = verification.verifyApiKey(new VerifyApiKeyRequest().key(secret), null);
    check(previous.getCode() == VerdictCode.INVALID_API_KEY, "the previous secret");
    Verdict current = verification.verifyApiKey(new VerifyApiKeyRequest().key(rotated.getKey()), null);
    check(current.getValid() && current.getRemaining() == 3, "the new secret");
    check(keys.deleteApiKey(org, id, null).getMessage().equals("API key deleted successfully"), "delete");
    try {
      keys.getApiKey(KeysApi.APIGetApiKeyRequest.newBuilder().orgId(org).keyId(id).build());
      throw new IllegalStateException("a deleted key was returned");
    } catch (ApiException gone) {
      check(gone.getCode() == 404 && gone.getResponseBody().contains("\"not_found\""), "a deleted key");
    }
    Verdict deleted = verification.verifyApiKey(new VerifyApiKeyRequest().key(rotated.getKey()), null);
    check(deleted.getCode() == VerdictCode.INVALID_API_KEY, "the secret of a deleted key");
    System.out.println("openapi-generator, Java: the lifecycle of a key works");
  }
}
