//! The object `sign_in` of the issuers file, and services without this way to sign in.

use harness::{Provider, SigningKey, TestApp, read_issuers, write_secret};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::SignIn;

/// What is wrong with a file with this object, in the entry of a provider with this issuer.
fn mistakes(issuer: &str, sign_in: &Value) -> String {
    let entry = json!({
        "issuer": issuer, "audiences": ["claviger"], "organizations": "tenants", "jwks": "https://id.example/keys",
        "sign_in": sign_in,
    });
    read_issuers(&json!([entry])).err().unwrap_or_default()
}

#[test]
fn mistakes_in_the_file_are_found() {
    let folder = TempDir::with_prefix("claviger-test-").expect("a folder");
    let (secret, open) = (folder.path().join("secret"), folder.path().join("open"));
    write_secret(&secret, "s");
    std::fs::write(&open, "s").expect("a file");
    let valid = json!({
        "id": "acme-2", "name": "Acme", "client_id": "c", "client_secret_file": secret, "scopes": ["email"],
    });
    let issuer = "https://id.example";
    assert_eq!(mistakes(issuer, &valid), "");
    for (name, value, expected) in [
        ("id", json!("Acme"), "[0].sign_in.id must be 1 to 32 small letters, digits and hyphens"),
        ("id", json!("a/b"), "[0].sign_in.id must be"),
        ("id", Value::Null, "missing field `id`"),
        ("name", json!("a\nb"), "[0].sign_in.name must be"),
        ("client_id", json!(""), "[0].sign_in.client_id must be"),
        ("client_secret_file", json!("secret"), "[0].sign_in.client_secret_file must be the absolute path"),
        ("client_secret_file", json!(open), "run chmod 600"),
        ("scopes", json!(["a b"]), "[0].sign_in.scopes must be"),
        ("client_secret", json!("s"), "unknown field `client_secret`"),
    ] {
        let mut changed = valid.clone();
        changed[name] = value;
        let found = mistakes(issuer, &changed);
        assert!(found.contains(expected), "{name}: {found}");
    }
    for issuer in ["acme", "http://id.example"] {
        let found = mistakes(issuer, &valid);
        assert!(found.contains("[0].sign_in needs an issuer that is an https URL"), "{found}");
    }
    let entry = |issuer: &str| {
        json!({
            "issuer": issuer, "audiences": ["claviger"], "organizations": "tenants", "jwks": "https://id.example/keys",
            "sign_in": valid,
        })
    };
    let twice = read_issuers(&json!([entry("https://a.example"), entry("https://b.example")]));
    assert!(twice.expect_err("one id").contains("[1].sign_in.id is the id of another entry, too"));
}

#[test]
fn a_client_secret_is_not_in_the_log() {
    let folder = TempDir::with_prefix("claviger-test-").expect("a folder");
    let secret = folder.path().join("secret");
    write_secret(&secret, "s3cret");
    let entry = json!({
        "issuer": "https://id.example", "audiences": ["claviger"], "organizations": "tenants",
        "sign_in": {"id": "acme", "name": "Acme", "client_id": "c", "client_secret_file": secret},
    });
    let providers = read_issuers(&json!([entry])).expect("valid issuers");
    assert!(!format!("{providers:?}").contains("s3cret"));
}

#[tokio::test]
async fn without_the_dashboard_there_is_no_sign_in_with_the_browser() {
    let key = SigningKey::ed25519("k1");
    let provider = Provider::start(&[&key]).await;
    let mut entry = provider.entry(&json!("tenants"));
    entry["sign_in"] = json!({"id": "acme", "name": "Acme", "client_id": "c"});
    let providers = read_issuers(&json!([entry])).expect("valid issuers");
    let app = TestApp::start_with(|config| {
        (config.providers, config.dashboard) = (providers, false);
    })
    .await;
    assert_eq!(app.anyone().get("/sign_in").await.json()["providers"], json!([]));
    assert_eq!(app.anyone().get("/sign_in/acme").await.status, 404);
}

#[tokio::test]
async fn a_provider_without_metadata_for_sign_in_is_unavailable() {
    let signed = SignIn::start().await;
    let metadata = signed.provider.sign_in_metadata();
    for (what, changes) in [
        ("no authorization endpoint", json!({"authorization_endpoint": null})),
        ("a token endpoint by http elsewhere", json!({"token_endpoint": "http://id.example/token"})),
        ("another issuer", json!({"issuer": "https://id.example/"})),
    ] {
        signed.app.clock.advance_seconds(3_700);
        let mut changed = metadata.clone();
        for (name, value) in changes.as_object().expect("changes") {
            changed[name] = value.clone();
        }
        signed.provider.describe(&changed);
        let answer = signed.app.anyone().get("/sign_in/acme").await;
        assert_eq!(answer.header("location"), "/#/sign-in?error=unavailable", "{what}");
    }
    signed.provider.describe(&metadata);
    signed.app.clock.advance_seconds(30);
    assert!(signed.app.anyone().get("/sign_in/acme").await.header("location").contains("/authorize?"));
}
