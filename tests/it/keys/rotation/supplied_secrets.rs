//! Secrets that clients supply as hashes when they create and rotate keys.

use domain::keys::secret::LegacyHash;
use harness::{Caller, KeySpec, Tenant, TestApp};
use serde_json::{Value, json};

use crate::keys::rotation::{Key, code};

/// A secret of a vault.
fn secret(n: u8) -> String {
    format!("tf_{}", char::from(b'a' + n).to_string().repeat(43))
}

/// Such a secret as clients supply it.
fn supplied(secret: &str) -> Value {
    let hex = LegacyHash::of(secret).bytes().iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    json!({
        "sha256": hex, "start": secret[..6], "shape": {"prefix": "tf_", "length": 43, "alphabet": "base64url"},
    })
}

fn body(name: &str, secret: &str) -> Value {
    json!({"name": name, "permissions": ["files:read"], "remaining": 10, "secret": supplied(secret)})
}

async fn create(tenant: &Tenant, secret: &str) -> Key {
    let made = tenant.admin.post(&tenant.keys(), &body("n", secret)).await;
    assert_eq!(made.status, 200, "{}", made.text);
    Key { path: format!("{}/{}", tenant.keys(), made.json()["id"].as_str().expect("an id")), secret: secret.to_owned() }
}

async fn rotate(caller: &Caller, key: &Key, grace: u64, secret: &str) -> harness::Answer {
    let body = json!({"grace_seconds": grace, "secret": supplied(secret)});
    caller.post(&format!("{}/rotate", key.path), &body).await
}

#[tokio::test]
async fn a_key_is_created_and_rotated_with_supplied_secrets() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let made = tenant.admin.post(&tenant.keys(), &body("n", &secret(0))).await.json();
    assert_eq!((&made["key"], &made["prefix"], &made["start"]), (&Value::Null, &json!("tf_"), &json!("tf_aaa")));
    let key = Key { path: format!("{}/{}", tenant.keys(), made["id"].as_str().expect("an id")), secret: secret(0) };
    assert_eq!(app.caller(&key.secret).get("/me").await.status, 401, "not a credential before its first verification");
    assert_eq!(code(&tenant.admin, &key.secret).await, "VALID");
    assert_eq!(app.caller(&key.secret).get("/me").await.status, 200);
    let rotated = rotate(&tenant.admin, &key, 60, &secret(1)).await;
    assert_eq!(
        (rotated.status, &rotated.json()["key"], &rotated.json()["start"]),
        (200, &Value::Null, &json!("tf_bbb"))
    );
    for n in 0..2 {
        assert_eq!(code(&tenant.admin, &secret(n)).await, "VALID");
    }
    app.clock.advance_seconds(60);
    assert_eq!(code(&tenant.admin, &secret(0)).await, "INVALID_API_KEY");
    // A secret of this service replaces it, and keeps the prefix.
    let generated = tenant.admin.post(&format!("{}/rotate", key.path), &json!({"grace_seconds": 0})).await.json();
    assert!(generated["key"].as_str().is_some_and(|text| text.starts_with("tf_")), "{generated}");
    assert_eq!(code(&tenant.admin, &secret(1)).await, "INVALID_API_KEY");
    let actions: Vec<String> = app.audit(&tenant.org_id).await.into_iter().map(|event| event.action).collect();
    let count = |action: &str| actions.iter().filter(|other| *other == action).count();
    assert_eq!((count("api_key.create"), count("api_key.rotate"), count("api_key.import")), (1, 2, 0));
}

#[tokio::test]
async fn repeated_requests_with_a_supplied_secret_change_nothing() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let first = tenant.admin.post(&tenant.keys(), &body("n", &secret(0))).await.json();
    let key = create(&tenant, &secret(0)).await;
    assert_eq!(key.path, format!("{}/{}", tenant.keys(), first["id"].as_str().expect("an id")), "the same key");
    assert_eq!(code(&tenant.admin, &secret(0)).await, "VALID");
    assert_eq!(create(&tenant, &secret(0)).await.path, key.path, "also after it was used");
    assert_eq!(tenant.admin.get(&tenant.keys()).await.json().as_array().map(Vec::len), Some(2));
    let rotated = rotate(&tenant.admin, &key, 60, &secret(1)).await.json();
    app.clock.advance_seconds(30);
    let again = rotate(&tenant.admin, &key, 60, &secret(1)).await;
    assert_eq!((again.status, again.json()), (200, rotated));
    // Also after it was used.
    assert_eq!(code(&tenant.admin, &secret(1)).await, "VALID");
    let once = tenant.admin.with("idempotency-key", "w");
    for is_replayed in ["", "true"] {
        let again = rotate(&once, &key, 60, &secret(1)).await;
        assert_eq!((again.status, again.header("idempotent-replayed")), (200, is_replayed), "{}", again.text);
    }
    let previous = tenant.admin.get(&format!("{}/previous_secret", key.path)).await.json();
    assert_eq!(previous["expires_at"], "2026-11-21T08:01:00.250Z", "the grace period is that of the first request");
    let rotations = app.audit(&tenant.org_id).await.into_iter().filter(|event| event.action == "api_key.rotate");
    assert_eq!(rotations.count(), 1);
}

#[tokio::test]
async fn a_secret_in_use_is_refused_and_other_organizations_do_not_matter() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let key = create(&tenant, &secret(0)).await;
    let second = create(&tenant, &secret(1)).await;
    let reason = |answer: harness::Answer| (answer.status, answer.json()["reason"].clone());
    let in_use = (409, json!("secret_in_use"));
    let renamed = tenant.admin.post(&tenant.keys(), &body("other", &secret(0))).await;
    assert_eq!(reason(renamed), in_use, "another name is another key");
    assert_eq!(reason(rotate(&tenant.admin, &second, 60, &secret(0)).await), in_use);
    assert_eq!(rotate(&tenant.admin, &key, 60, &secret(2)).await.status, 200);
    assert_eq!(reason(rotate(&tenant.admin, &key, 60, &secret(0)).await), in_use, "it is the previous one");
    let both = json!({"keys": [body("a", &secret(3)), body("b", &secret(3))]});
    assert_eq!(reason(tenant.admin.post(&format!("{}/bulk_create", tenant.keys()), &both).await), in_use);
    // Each organization has its own.
    let foreign = create(&other, &secret(0)).await;
    assert_eq!(code(&other.admin, &secret(0)).await, "VALID");
    let verdict = other.admin.post("/api_keys/verify", &json!({"key": secret(0)})).await.json();
    assert!(foreign.path.ends_with(verdict["key_id"].as_str().expect("an id")), "{verdict}");
    // A deleted key does not keep its secret.
    assert_eq!(tenant.admin.delete(&second.path).await.status, 200);
    assert_eq!(rotate(&tenant.admin, &key, 60, &secret(1)).await.status, 200);
    assert_eq!(code(&tenant.admin, &secret(1)).await, "VALID");
    assert_eq!(tenant.admin.post(&format!("{}/restore", second.path), &json!({})).await.status, 404);
}

#[tokio::test]
async fn keys_with_and_without_supplied_secrets_are_created_together() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let first = create(&tenant, &secret(0)).await;
    let keys = json!({"keys": [
        body("n", &secret(0)), {"name": "generated", "permissions": []}, body("n", &secret(1)),
    ]});
    let made = tenant.admin.post(&format!("{}/bulk_create", tenant.keys()), &keys).await;
    assert_eq!(made.status, 200, "{}", made.text);
    let keys = &made.json()["keys"];
    assert!(first.path.ends_with(keys[0]["id"].as_str().expect("an id")), "it was created before");
    assert_eq!((&keys[0]["key"], &keys[2]["key"]), (&Value::Null, &Value::Null));
    for text in [keys[1]["key"].as_str().expect("a secret"), &secret(0), &secret(1)] {
        assert_eq!(code(&tenant.admin, text).await, "VALID");
    }
    assert_eq!(tenant.admin.get(&tenant.keys()).await.json().as_array().map(Vec::len), Some(4));
}

#[tokio::test]
async fn a_new_format_needs_an_administrator() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (_, writer) = app.key(&tenant.org_id, KeySpec::with(&["api_keys:write", "files:read"])).await;
    let writer = app.caller(&writer);
    let body = json!({"name": "n", "permissions": ["files:read"], "secret": supplied(&secret(0))});
    let refused = writer.post(&tenant.keys(), &body).await;
    assert_eq!((refused.status, &refused.json()["reason"]), (403, &json!("permission_required")), "{}", refused.text);
    create(&tenant, &secret(1)).await;
    assert_eq!(writer.post(&tenant.keys(), &body).await.status, 200, "the organization has the format now");
    assert_eq!(code(&tenant.admin, &secret(0)).await, "VALID");
}

#[tokio::test]
async fn an_invalid_supplied_secret_is_refused_by_field() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let with = |change: &dyn Fn(&mut Value)| {
        let mut secret = supplied(&secret(0));
        change(&mut secret);
        json!({"name": "n", "permissions": [], "secret": secret})
    };
    for (body, field) in [
        (with(&|secret| secret["sha256"] = json!("ab")), "secret.sha256"),
        (with(&|secret| secret["sha256"] = json!("g".repeat(64))), "secret.sha256"),
        (with(&|secret| secret["start"] = json!("tf_1234567")), "secret.start"),
        (with(&|secret| secret["start"] = json!("cvg_12")), "secret.start"),
        (with(&|secret| secret["shape"]["length"] = json!(10)), "secret.shape.length"),
        (with(&|secret| secret["shape"]["prefix"] = json!("ü")), "secret.shape.prefix"),
        (with(&|secret| secret["shape"]["alphabet"] = json!("greek")), "secret.shape.alphabet"),
        (with(&|secret| secret["shape"] = Value::Null), "secret.shape"),
        (with(&|secret| secret["key"] = json!("x")), "secret.key"),
        (json!({"name": "n", "permissions": [], "secret": "x"}), "secret"),
        (json!({"name": "n", "permissions": [], "prefix": "a_", "secret": supplied(&secret(0))}), "prefix"),
    ] {
        let refused = tenant.admin.post(&tenant.keys(), &body).await;
        assert_eq!((refused.status, refused.wrong_fields()), (400, vec![field.to_owned()]), "{body}: {}", refused.text);
    }
    let key = create(&tenant, &secret(0)).await;
    let body = json!({"grace_seconds": 0, "secret": {"sha256": "ab"}});
    let refused = tenant.admin.post(&format!("{}/rotate", key.path), &body).await;
    assert_eq!((refused.status, refused.wrong_fields()), (400, vec!["secret.shape".to_owned()]));
}

#[tokio::test]
async fn an_unused_supplied_secret_is_replaced_and_undone() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let key = create(&tenant, &secret(0)).await;
    assert_eq!(rotate(&tenant.admin, &key, 60, &secret(1)).await.status, 200);
    assert_eq!(rotate(&tenant.admin, &key, 60, &secret(2)).await.status, 200, "the second one was never used");
    let undo = async || tenant.admin.delete(&format!("{}/newest_secret", key.path)).await.status;
    assert_eq!(undo().await, 200);
    let after = tenant.admin.get(&key.path).await.json();
    assert_eq!((&after["start"], &after["prefix"]), (&json!("tf_aaa"), &json!("tf_")));
    let mut codes = Vec::new();
    for n in 0..3 {
        codes.push(code(&tenant.admin, &secret(n)).await);
    }
    assert_eq!(codes, ["VALID", "INVALID_API_KEY", "INVALID_API_KEY"]);
    app.clock.advance_seconds(120);
    assert_eq!(code(&tenant.admin, &secret(0)).await, "VALID", "it does not expire any more");
    // From a secret of this service to a supplied one, and back.
    let made = tenant.admin.post(&tenant.keys(), &json!({"name": "g", "permissions": []})).await.json();
    let path = format!("{}/{}", tenant.keys(), made["id"].as_str().expect("an id"));
    let generated = Key { path, secret: made["key"].as_str().expect("a secret").to_owned() };
    assert_eq!(rotate(&tenant.admin, &generated, 60, &secret(4)).await.json()["prefix"], "tf_");
    assert_eq!(tenant.admin.delete(&format!("{}/newest_secret", generated.path)).await.status, 200);
    let after = tenant.admin.get(&generated.path).await.json();
    assert_eq!((&after["prefix"], &after["start"]), (&json!("cvg_"), &json!(generated.secret[..10])));
    // A secret that was verified cannot be undone.
    assert_eq!(rotate(&tenant.admin, &generated, 60, &secret(5)).await.status, 200);
    assert_eq!(code(&tenant.admin, &secret(5)).await, "VALID");
    assert_eq!(tenant.admin.delete(&format!("{}/newest_secret", generated.path)).await.status, 409);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_requests_with_one_supplied_secret_make_one_key() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (path, body) = (tenant.keys(), body("n", &secret(0)));
    let answers = futures_util::future::join_all((0..6).map(|_| tenant.admin.post(&path, &body))).await;
    let ids: std::collections::HashSet<String> = answers
        .iter()
        .map(|answer| {
            assert_eq!(answer.status, 200, "{}", answer.text);
            answer.json()["id"].to_string()
        })
        .collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
}

#[tokio::test]
async fn of_supplied_secrets_the_newest_100_are_kept() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let numbered = |n: usize| format!("tf_{n:0>43}");
    let key = create(&tenant, &numbered(0)).await;
    assert_eq!(code(&tenant.admin, &key.secret).await, "VALID");
    for n in 1..=102 {
        app.clock.advance_seconds(1);
        assert_eq!(rotate(&tenant.admin, &key, 0, &numbered(n)).await.status, 200, "{n}");
    }
    let again = async |n: usize| rotate(&tenant.admin, &key, 0, &numbered(n)).await.status;
    assert_eq!(again(3).await, 409, "its end is still known");
    assert_eq!(code(&tenant.admin, &key.secret).await, "INVALID_API_KEY");
    assert_eq!(again(0).await, 200);
    assert_eq!(code(&tenant.admin, &key.secret).await, "VALID");
    assert_eq!(code(&tenant.admin, &numbered(102)).await, "INVALID_API_KEY");
}

#[tokio::test]
async fn a_repeated_rotation_without_a_grace_period_revokes_the_previous_secret() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let key = create(&tenant, &secret(0)).await;
    assert_eq!(code(&tenant.admin, &secret(0)).await, "VALID");
    for (grace, expected) in [(3_600, "VALID"), (3_600, "VALID"), (0, "INVALID_API_KEY"), (0, "INVALID_API_KEY")] {
        let rotated = rotate(&tenant.admin, &key, grace, &secret(1)).await;
        assert_eq!(rotated.status, 200, "{}", rotated.text);
        assert_eq!(code(&tenant.admin, &secret(0)).await, expected, "grace {grace}");
    }
    assert_eq!(code(&tenant.admin, &secret(1)).await, "VALID");
}

#[tokio::test]
async fn a_repeated_rotation_revokes_the_previous_secret_only_of_the_version_in_if_match() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let key = create(&tenant, &secret(0)).await;
    assert_eq!(code(&tenant.admin, &secret(0)).await, "VALID");
    let rotated = rotate(&tenant.admin, &key, 3_600, &secret(1)).await.json();
    let with_version = |version: u64| tenant.admin.with("if-match", &format!("\"{version}\""));
    let version = rotated["version"].as_u64().expect("a version");
    assert_eq!(rotate(&with_version(version + 1), &key, 0, &secret(1)).await.status, 412);
    assert_eq!(code(&tenant.admin, &secret(0)).await, "VALID");
    assert_eq!(rotate(&with_version(version), &key, 0, &secret(1)).await.status, 200);
    assert_eq!(code(&tenant.admin, &secret(0)).await, "INVALID_API_KEY");
}

#[tokio::test]
async fn many_rotations_do_not_shorten_the_grace_period_of_a_used_secret() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let key = create(&tenant, &secret(0)).await;
    assert_eq!(code(&tenant.admin, &secret(0)).await, "VALID");
    for n in 0..105 {
        let next = format!("tf_{n:043}");
        assert_eq!(rotate(&tenant.admin, &key, 3_600, &next).await.status, 200, "{n}");
    }
    assert_eq!(code(&tenant.admin, &secret(0)).await, "VALID");
    app.clock.advance_seconds(3_600);
    assert_eq!(code(&tenant.admin, &secret(0)).await, "INVALID_API_KEY");
}
