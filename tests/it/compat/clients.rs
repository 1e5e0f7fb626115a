//! The generated Rust client (`tests/clients/rust`) runs the quick start and the lifecycle. `tests/clients/run` tests the other
//! clients.

use std::fmt::Write;

use claviger_rust_client::{Client, types};
use harness::TestApp;
use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::json;

use crate::{
    compat::openapi::operations,
    tidy::{read, root},
};

fn client(base: &str, key: Option<&str>) -> Client {
    let mut headers = HeaderMap::new();
    if let Some(key) = key {
        let value = HeaderValue::from_str(&format!("Bearer {key}")).expect("text");
        headers.insert("authorization", value);
    }
    let client = reqwest::Client::builder().default_headers(headers).build().expect("a client");
    Client::new_with_client(base, client)
}

#[tokio::test]
async fn the_generated_rust_client_runs_the_quick_start() {
    let app = TestApp::start().await;
    let base = app.base();
    let sign_up = types::SignUpRequest {
        user_name: "John Doe".parse().expect("a name"),
        user_email: "john@example.com".parse().expect("an address"),
        org_name: Some("Acme Corp".parse().expect("a name")),
    };
    let data =
        client(&base, None).sign_up().body(sign_up).send().await.expect("a signed-up organization").into_inner().data;
    let admin = client(&base, Some(&data.api_key));
    let checked = admin.check_api_key().send().await.expect("a valid key").into_inner();
    assert_eq!(checked.data.user_email.as_deref(), Some("john@example.com"));
    app.clock.advance_seconds(1);
    // From JSON, because a struct would need every field.
    let new: types::CreateApiKeyRequest =
        serde_json::from_value(json!({"name": "New API Key", "permissions": ["read"]})).expect("a key");
    let created = admin.create_api_key().org_id(data.org_id).body(new).send().await.expect("created").into_inner();
    let reader = client(&base, created.key.as_deref());
    let listed = reader.list_api_keys().org_id(data.org_id).send().await.expect("listed").into_inner();
    assert_eq!(listed.iter().map(|key| key.id).collect::<Vec<_>>(), [data.key_id, created.id]);
    let refused = reader
        .delete_api_key()
        .org_id(data.org_id)
        .key_id(created.id)
        .send()
        .await
        .expect_err("a reader cannot delete");
    assert_eq!(refused.status().map(|status| status.as_u16()), Some(403));
    let me = admin.get_me().send().await.expect("known").into_inner();
    assert_eq!(me.organizations[0].permissions.as_deref(), Some(&["*".to_owned()][..]));
    // Objects that can be null.
    let me = reader.get_me().send().await.expect("known").into_inner();
    assert!(me.user.is_none() && me.api_key.is_some(), "a key of the organization itself has no user");
    let question = json!({"key": created.key, "permissions": ["files:read"]});
    let question: types::VerifyApiKeyRequest = serde_json::from_value(question).expect("a request");
    let verdict = admin.verify_api_key().body(question).send().await.expect("a verdict").into_inner();
    assert!(verdict.valid && verdict.rate_limit.is_none());
    let new = json!({"audience": "storage", "ttl_seconds": 60});
    let new: types::CreateTokenRequest = serde_json::from_value(new).expect("a token");
    let made = admin.create_token().body(new).send().await.expect("a token").into_inner();
    assert_eq!(made.token_type.to_string(), "Bearer");
    admin.delete_api_key().org_id(data.org_id).key_id(created.id).send().await.expect("deleted");
    let refused = reader.check_api_key().send().await.expect_err("the key is gone");
    assert_eq!(refused.status().map(|status| status.as_u16()), Some(401));
}

/// 30 days, in milliseconds: more than 32 bits.
const MONTH: u64 = 30 * 24 * 3_600_000;

async fn verify(client: &Client, secret: &str, permissions: &[&str]) -> types::Verdict {
    let body: types::VerifyApiKeyRequest =
        serde_json::from_value(json!({"key": secret, "permissions": permissions})).expect("a request");
    client.verify_api_key().body(body).send().await.expect("a verdict").into_inner()
}

/// The lifecycle of `tests/clients/README.md`.
#[tokio::test]
async fn the_generated_rust_client_runs_the_lifecycle() {
    let app = TestApp::start().await;
    let base = app.base();
    // From JSON, because structs would need every field.
    let sign_up = json!({"user_name": "Pru Progenitor", "user_email": "pru@example.com", "org_name": "Lifecycle"});
    let sign_up: types::SignUpRequest = serde_json::from_value(sign_up).expect("a request");
    let account = client(&base, None).sign_up().body(sign_up).send().await.expect("signed up").into_inner().data;
    let (org, admin) = (account.org_id, client(&base, Some(&account.api_key)));

    let new = json!({
        "name": "metered", "permissions": ["files:read"], "remaining": 5, "refill_amount": 5, "refill_interval": MONTH,
        "rate_limit_max": 100, "rate_limit_window": MONTH,
    });
    let new: types::CreateApiKeyRequest = serde_json::from_value(new).expect("a request");
    let created = admin.create_api_key().org_id(org).body(new).send().await.expect("created").into_inner();
    let secret = created.key.clone().expect("a secret");
    let listed = admin.list_api_keys().org_id(org).send().await.expect("listed").into_inner();
    let found = listed.iter().find(|key| key.id == created.id).expect("the key is in the list");
    let found = serde_json::to_value(found).expect("JSON");
    assert_eq!((&found["refill_interval"], &found["rate_limit_window"]), (&json!(MONTH), &json!(MONTH)));

    let held = serde_json::to_value(verify(&admin, &secret, &["files:read"]).await).expect("JSON");
    let seen = (&held["code"], &held["remaining"], &held["rate_limit"]["limit"]);
    assert_eq!(seen, (&json!("VALID"), &json!(4), &json!(100)));
    let lacked = verify(&admin, &secret, &["files:write"]).await;
    assert_eq!((lacked.valid, lacked.code.to_string().as_str()), (false, "INSUFFICIENT_PERMISSIONS"));

    let new = json!({"name": "readers", "permissions": ["files:read"]});
    let new: types::CreatePermissionSetRequest = serde_json::from_value(new).expect("a request");
    let set = admin.create_permission_set().org_id(org).body(new).send().await.expect("created").into_inner();
    // The body of the request has no `permissions`.
    let change: types::UpdatePermissionSetRequest =
        serde_json::from_value(json!({"name": "viewers"})).expect("a request");
    let renamed = admin.update_permission_set().org_id(org).set_id(set.id).body(change).send().await;
    let renamed = serde_json::to_value(renamed.expect("renamed").into_inner()).expect("JSON");
    assert_eq!((&renamed["name"], &renamed["permissions"]), (&json!("viewers"), &json!(["files:read"])));

    let rotation: types::RotateApiKeyRequest = serde_json::from_value(json!({"grace_seconds": 0})).expect("a request");
    let rotated = admin.rotate_api_key().org_id(org).key_id(created.id).body(rotation).send().await;
    let rotated = rotated.expect("rotated").into_inner().key.expect("a secret");
    assert_ne!(rotated, secret);
    assert_eq!(verify(&admin, &secret, &[]).await.code.to_string(), "INVALID_API_KEY");
    let valid = serde_json::to_value(verify(&admin, &rotated, &[]).await).expect("JSON");
    assert_eq!((&valid["code"], &valid["remaining"]), (&json!("VALID"), &json!(3)));

    let deleted = admin.delete_api_key().org_id(org).key_id(created.id).send().await.expect("deleted").into_inner();
    assert_eq!(deleted.message, "API key deleted successfully");
    let gone = admin.get_api_key().org_id(org).key_id(created.id).send().await.expect_err("it was deleted");
    assert_eq!(gone.status().map(|status| status.as_u16()), Some(404));
    assert_eq!(verify(&admin, &rotated, &[]).await.code.to_string(), "INVALID_API_KEY");
}

/// The name of a function for an operation: `create_api_key` for `createApiKey`.
fn function_name(id: &str) -> String {
    let parts = id.chars().map(|letter| match letter {
        'A'..='Z' => format!("_{}", letter.to_ascii_lowercase()),
        letter => letter.to_string(),
    });
    parts.collect()
}

/// The Rust samples of the document are compiled with the client. With `CLAVIGER_UPDATE_EXAMPLES=1`, this test writes the file.
#[tokio::test]
async fn the_rust_samples_of_the_document_are_compiled() {
    let app = TestApp::start().await;
    let document = app.anyone().get("/openapi.json").await.json();
    let mut expected = "//! The Rust samples of the OpenAPI document, each in a function. A test (`tests/it/compat/clients.rs`) writes \
                        this file.\n\n#![expect(clippy::print_stdout, reason = \"the samples print the responses\")]\n"
        .to_owned();
    let mut samples = 0;
    for operation in operations(&document) {
        let all = operation["x-codeSamples"].as_array().into_iter().flatten();
        for sample in all.filter(|sample| sample["lang"] == "Rust") {
            let id = operation["operationId"].as_str().expect("an id");
            let (name, source) = (function_name(id), sample["source"].as_str().expect("a text"));
            write!(
                expected,
                "\n/// The sample of `{id}`.\npub async fn {name}() -> Result<(), Box<dyn std::error::Error>> {{\n{source}\nOk(())\n}}\n"
            )
            .expect("memory");
            samples += 1;
        }
    }
    assert_eq!(samples, 10);
    let file = root().join("tests/clients/rust/src/samples.rs");
    #[expect(clippy::disallowed_methods, reason = "the tests' own setting")]
    let is_update = std::env::var_os("CLAVIGER_UPDATE_EXAMPLES").is_some();
    if is_update {
        std::fs::write(&file, &expected).expect("written");
    }
    assert!(
        read(&file) == expected,
        "samples.rs differs from the document: run this test with CLAVIGER_UPDATE_EXAMPLES=1"
    );
}
