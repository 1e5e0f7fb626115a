//! Tokens that do not say what their user may do, although the operator has asked for it.

use api::system::SystemClock;
use domain::clock::Clock;
use harness::{Caller, Process, Provider, SigningKey, TestDatabase};
use serde_json::{Value, json};

use crate::{
    outside::{with, world},
    sessions::sign_in,
};

#[tokio::test]
async fn a_claim_that_the_operator_names_is_required() {
    let named = world(|entry| entry["claims"] = json!({"permissions": "roles"})).await;
    let by_default_name = world(|entry| entry["claims"] = json!({"permissions": "permissions"})).await;
    let authoritative = world(|entry| {
        entry["authoritative"] = json!(true);
        entry["claims"] = json!({"permissions": "roles"});
    })
    .await;
    // A name that is no path, and that no token has.
    let misnamed = world(|entry| entry["claims"] = json!({"permissions": "realm_access.roles"})).await;
    for (world, name) in
        [(&named, "roles"), (&by_default_name, "permissions"), (&authoritative, "roles"), (&misnamed, "")]
    {
        world.join(&world.tenant, "ada", &["api_keys:read", "files:*"]).await;
        let good = with(&world.claims("ada"), "realm_access", json!({"roles": ["api_keys:read"]}));
        let held = async |claims: &Value| {
            let caller = world.says(claims);
            let session = sign_in(&world.app, &caller).await;
            let (by_token, by_session) = (caller.get("/me").await.json(), session.get("/me").await.json());
            let permissions = |me: &Value| me["organization"]["permissions"].clone();
            assert_eq!(permissions(&by_token), permissions(&by_session), "{name}");
            permissions(&by_token)
        };
        assert_eq!(held(&good).await, json!([]), "{name}: it is not there");
        if !name.is_empty() {
            assert_eq!(held(&with(&good, name, Value::Null)).await, json!([]), "{name}: null");
            assert_eq!(held(&with(&good, name, json!([]))).await, json!([]), "{name}: nothing");
            assert_eq!(held(&with(&good, name, json!("files:read"))).await, json!(["files:read"]), "{name}");
        }
        assert_eq!(world.says(&good).get(&world.keys()).await.status, 403, "{name}");
    }
}

#[tokio::test]
async fn a_claim_that_tokens_lack_is_told_once() {
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
    let anyone = Caller::anyone(format!("http://{}", process.address));
    for name in ["ada", "bob", "ada"] {
        let token = key.sign(&provider.claims(name, SystemClock.now().millis() / 1_000));
        assert_eq!(anyone.with_bearer(&token).get("/me").await.status, 200);
    }
    process.signal("TERM");
    let log = process.wait().1;
    let events: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let warned: Vec<_> =
        events.iter().filter(|event| event["level"] == "WARN" && event["claim"] != Value::Null).collect();
    let told: Vec<_> = warned.iter().map(|event| (event["issuer"].clone(), event["claim"].clone())).collect();
    let expected = ["realm_access.roles", "org"].map(|claim| (json!(provider.issuer()), json!(claim)));
    assert_eq!(told, expected, "{log}");
}
