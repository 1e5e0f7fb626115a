//! Tokens without a claim that the issuers file names.

use api::process::system::SystemClock;
use domain::clock::Clock;
use harness::{Process, Provider, SigningKey, TestDatabase};
use serde_json::{Value, json};

use crate::auth::{
    idp::{fixture, with},
    sessions::sign_in,
};

#[tokio::test]
async fn a_configured_permissions_claim_is_required() {
    let named = fixture(|entry| entry["claims"] = json!({"permissions": "roles"})).await;
    let by_default_name = fixture(|entry| entry["claims"] = json!({"permissions": "permissions"})).await;
    let authoritative = fixture(|entry| {
        entry["authoritative"] = json!(true);
        entry["claims"] = json!({"permissions": "roles"});
    })
    .await;
    // Claim names are not paths, so no token has this claim.
    let with_path_as_name = fixture(|entry| entry["claims"] = json!({"permissions": "realm_access.roles"})).await;
    for (fixture, name) in
        [(&named, "roles"), (&by_default_name, "permissions"), (&authoritative, "roles"), (&with_path_as_name, "")]
    {
        fixture.join(&fixture.tenant, "ada", &["api_keys:read", "files:*"]).await;
        let good = with(&fixture.claims("ada"), "realm_access", json!({"roles": ["api_keys:read"]}));
        let held = async |claims: &Value| {
            let caller = fixture.caller_with(claims);
            let session = sign_in(&fixture.app, &caller).await;
            let (by_token, by_session) = (caller.get("/me").await.json(), session.get("/me").await.json());
            let permissions = |me: &Value| me["organization"]["permissions"].clone();
            assert_eq!(permissions(&by_token), permissions(&by_session), "{name}");
            permissions(&by_token)
        };
        assert_eq!(held(&good).await, json!([]), "{name}: absent");
        if !name.is_empty() {
            assert_eq!(held(&with(&good, name, Value::Null)).await, json!([]), "{name}: null");
            assert_eq!(held(&with(&good, name, json!([]))).await, json!([]), "{name}: nothing");
            assert_eq!(held(&with(&good, name, json!("files:read"))).await, json!(["files:read"]), "{name}");
        }
        assert_eq!(fixture.caller_with(&good).get(&fixture.keys()).await.status, 403, "{name}");
    }
}

#[tokio::test]
async fn a_missing_configured_claim_is_logged_once() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let path = directory.path().join("issuers.json");
    let key = SigningKey::ed25519("k1");
    let provider = Provider::start(&[&key]).await;
    let mut entry = provider.entry(&json!("tenants"));
    (entry["create_users"], entry["claims"]) =
        (json!(true), json!({"permissions": "realm_access.roles", "organization": "org"}));
    std::fs::write(&path, json!([entry]).to_string()).expect("a file");
    let (database, issuers) = (TestDatabase::sqlite(), path.display().to_string());
    let process = Process::serve(&[("CLAVIGER_DATABASE_URL", database.url()), ("CLAVIGER_ISSUERS_FILE", &issuers)]);
    let anyone = process.anyone();
    for name in ["ada", "bob", "ada"] {
        let token = key.sign(&provider.claims(name, SystemClock.now().millis() / 1_000));
        assert_eq!(anyone.with_bearer(&token).get("/me").await.status, 200);
    }
    process.signal("TERM");
    let log = process.wait().1;
    let events: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let warned: Vec<_> =
        events.iter().filter(|event| event["level"] == "WARN" && event["claim"] != Value::Null).collect();
    let logged: Vec<_> = warned.iter().map(|event| (event["issuer"].clone(), event["claim"].clone())).collect();
    let expected = ["realm_access.roles", "org"].map(|claim| (json!(provider.issuer()), json!(claim)));
    assert_eq!(logged, expected, "{log}");
}
