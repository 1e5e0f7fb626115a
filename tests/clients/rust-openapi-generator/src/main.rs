//! The lifecycle of a key (see README.md in the folder above), with the Rust client of openapi-generator.

use openapi::{
    apis::{Error, configuration::Configuration, keys_api, live_kit_api, permission_sets_api, verification_api},
    models::{
        CreateApiKeyRequest, CreatePermissionSetRequest, RotateApiKeyRequest, SignUpRequest,
        UpdatePermissionSetRequest, Verdict, VerdictCode, VerifyApiKeyRequest,
    },
};

const MONTH: i64 = 30 * 24 * 3_600_000;

async fn verify(client: &Configuration, secret: &str, permissions: &[&str]) -> Verdict {
    let mut question = VerifyApiKeyRequest::new(secret.to_owned());
    question.permissions = Some(Some(permissions.iter().map(|&permission| permission.to_owned()).collect()));
    verification_api::verify_api_key(client, question, None).await.expect("a verdict")
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let base_path = std::env::args().nth(1).expect("the address of the service");
    let mut client = Configuration { base_path, ..Configuration::new() };
    let mut request = SignUpRequest::new("Rob Rust".to_owned(), "rob@example.com".to_owned());
    request.org_name = Some(Some("Lifecycle".to_owned()));
    let account = live_kit_api::sign_up(&client, request).await.expect("an organization").data;
    client.bearer_access_token = Some(account.api_key.clone());
    let org = account.org_id.to_string();

    let mut new = CreateApiKeyRequest::new("metered".to_owned(), vec!["files:read".to_owned()]);
    new.remaining = Some(Some(5));
    new.refill_amount = Some(Some(5));
    new.refill_interval = Some(Some(MONTH));
    new.rate_limit_max = Some(Some(100));
    new.rate_limit_window = Some(Some(MONTH));
    let created = keys_api::create_api_key(&client, &org, new, None).await.expect("a key");
    let secret = created.key.expect("a secret");
    let listed = keys_api::list_api_keys(
        &client, &org, None, None, None, None, None, None, None, None, None, None, None, None, None, None, None, None,
        None, None, None, None, None, None, None,
    )
    .await
    .expect("a list");
    let found = listed.iter().find(|key| key.id == created.id).expect("the key is listed");
    assert_eq!((found.refill_interval, found.rate_limit_window), (Some(MONTH), Some(MONTH)));

    let held = verify(&client, &secret, &["files:read"]).await;
    assert!(held.valid && held.remaining == Some(4) && held.rate_limit.is_some_and(|limit| limit.limit == 100));
    let lacked = verify(&client, &secret, &["files:write"]).await;
    assert!(!lacked.valid && lacked.code == VerdictCode::InsufficientPermissions);

    let new = CreatePermissionSetRequest::new("readers".to_owned(), vec!["files:read".to_owned()]);
    let set = permission_sets_api::create_permission_set(&client, &org, new, None).await.expect("a permission set");
    let change = UpdatePermissionSetRequest { name: Some("viewers".to_owned()), ..UpdatePermissionSetRequest::new() };
    let renamed = permission_sets_api::update_permission_set(&client, &org, &set.id.to_string(), change).await;
    let renamed = renamed.expect("a renamed permission set");
    assert_eq!((renamed.name.as_str(), renamed.permissions), ("viewers", vec!["files:read".to_owned()]));

    let id = created.id.to_string();
    let rotated = keys_api::rotate_api_key(&client, &org, &id, RotateApiKeyRequest::new(0), None, None).await;
    let rotated = rotated.expect("rotated").key.expect("a secret");
    assert_ne!(rotated, secret);
    assert_eq!(verify(&client, &secret, &[]).await.code, VerdictCode::InvalidApiKey);
    assert_eq!(verify(&client, &rotated, &[]).await.remaining, Some(3));
    let deleted = keys_api::delete_api_key(&client, &org, &id, None).await.expect("deleted");
    assert_eq!(deleted.message, "API key deleted successfully");
    let gone = keys_api::get_api_key(&client, &org, &id, None).await.expect_err("the key was deleted");
    let Error::ResponseError(gone) = gone else { panic!("an error of the service: {gone}") };
    assert_eq!(gone.status.as_u16(), 404);
    assert_eq!(verify(&client, &rotated, &[]).await.code, VerdictCode::InvalidApiKey);
    println!("openapi-generator, Rust: the lifecycle of a key works");
}
