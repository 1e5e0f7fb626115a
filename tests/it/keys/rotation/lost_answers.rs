//! Rotations whose response was lost: the key is rotated again, or the rotation is undone. Both depend on whether the newest secret was
//! used, by whichever node.

use domain::keys::quota::Quota;
use harness::{Answer, Caller, KeySpec, TestApp};
use serde_json::{Value, json};

use crate::keys::rotation::{Key, code, create, rotate};

/// Rotates a key without expecting success.
async fn try_to_rotate(caller: &Caller, key: &Key, grace_seconds: u64) -> Answer {
    caller.post(&format!("{}/rotate", key.path), &json!({"grace_seconds": grace_seconds})).await
}

async fn undo(caller: &Caller, key: &Key) -> Answer {
    caller.delete(&format!("{}/newest_secret", key.path)).await
}

#[track_caller]
fn assert_refused(answer: &Answer, reason: &str) {
    assert_eq!((answer.status, &answer.json()["reason"]), (409, &json!(reason)), "{}", answer.text);
}

#[tokio::test]
async fn a_newest_secret_that_was_never_used_is_replaced() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let key = create(&tenant, &json!({"name": "n", "permissions": []})).await;
    let lost = rotate(&tenant.admin, &key, 60).await;
    app.clock.advance_seconds(10);
    let previous = async || tenant.admin.get(&format!("{}/previous_secret", key.path)).await.json();
    // A shorter grace period does not end the previous secret earlier than was promised.
    let second = rotate(&tenant.admin, &key, 1).await;
    assert_eq!(previous().await["expires_at"], "2026-11-21T08:01:00.250Z");
    // A longer one extends it.
    let third = rotate(&tenant.admin, &key, 120).await;
    assert_eq!(
        (&previous().await["expires_at"], &previous().await["start"]),
        (&json!("2026-11-21T08:02:10.250Z"), &json!(key.secret[..10]))
    );
    let mut codes = Vec::new();
    for secret in [&lost, &second, &third, &key.secret] {
        codes.push(code(&tenant.admin, secret).await);
    }
    assert_eq!(codes, ["INVALID_API_KEY", "INVALID_API_KEY", "VALID", "VALID"]);
    assert_eq!(tenant.admin.get(&key.path).await.json()["start"], third[..10]);
    // Now the newest one was used.
    assert_refused(&try_to_rotate(&tenant.admin, &key, 60).await, "rotation_in_progress");
    assert_refused(&undo(&tenant.admin, &key).await, "newest_secret_used");
    app.clock.advance_seconds(120);
    assert_eq!(code(&tenant.admin, &key.secret).await, "INVALID_API_KEY", "the grace period has ended");
    assert_eq!(code(&tenant.admin, &third).await, "VALID");
}

#[tokio::test]
async fn without_a_valid_previous_secret_an_unused_newest_one_gets_the_grace_period() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let key = create(&tenant, &json!({"name": "n", "permissions": []})).await;
    let second = rotate(&tenant.admin, &key, 10).await;
    app.clock.advance_seconds(10);
    let third = rotate(&tenant.admin, &key, 60).await;
    for secret in [&second, &third] {
        assert_eq!(code(&tenant.admin, secret).await, "VALID", "a client may have it");
    }
}

/// A request with a secret: method, path, body, and whether the secret is also the credential.
type Way = fn(&str) -> (&'static str, &'static str, Option<Value>, bool);

#[tokio::test]
async fn every_way_to_use_a_secret_counts_as_its_use() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let ways: [(&str, Way); 7] = [
        ("verify", |secret| ("POST", "/api_keys/verify", Some(json!({"key": secret})), false)),
        ("explain", |secret| ("POST", "/api_keys/verify?explain=true", Some(json!({"key": secret})), false)),
        ("a batch", |secret| ("POST", "/api_keys/verify_batch", Some(json!({"keys": [{"key": secret}]})), false)),
        ("Athena", |secret| ("POST", "/api/auth/api-key/verify", Some(json!({"key": secret})), false)),
        ("a denied verification", |secret| {
            ("POST", "/api_keys/verify", Some(json!({"key": secret, "permissions": ["other:read"]})), false)
        }),
        ("a credential", |_| ("GET", "/me", None, true)),
        ("a credential without permission", |_| ("GET", "/orgs", None, true)),
    ];
    let quotas = [Quota::default(), Quota { remaining: Some(10), ..Quota::default() }];
    for (quota, (name, request)) in quotas.into_iter().flat_map(|quota| ways.map(|way| (quota, way))) {
        let (id, secret) = app.key(&tenant.org_id, KeySpec { quota, ..KeySpec::with(&["files:read"]) }).await;
        let key = Key { path: format!("{}/{id}", tenant.keys()), secret };
        let new = rotate(&tenant.admin, &key, 60).await;
        let (method, path, body, is_credential) = request(&new);
        let caller = if is_credential { app.caller(&new) } else { tenant.admin.clone() };
        let caller = caller.with("content-type", "application/json");
        caller.send(method, path, body.map(|body| body.to_string().into_bytes())).await;
        assert_refused(&undo(&tenant.admin, &key).await, "newest_secret_used");
        let refused = try_to_rotate(&tenant.admin, &key, 60).await;
        assert_eq!(refused.status, 409, "{name}: {}", refused.text);
        assert_eq!(code(&tenant.admin, &new).await, "VALID", "{name}");
    }
}

#[tokio::test]
async fn a_use_is_known_after_a_restart() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let key = create(&tenant, &json!({"name": "n", "permissions": []})).await;
    let unused = create(&tenant, &json!({"name": "n", "permissions": []})).await;
    let (new, never_used) = (rotate(&tenant.admin, &key, 60).await, rotate(&tenant.admin, &unused, 60).await);
    assert_eq!(code(&tenant.admin, &new).await, "VALID");
    let bearer = tenant.admin.bearer().to_owned();
    let (_, database) = app.stop().await;
    let app = TestApp::start_on(database, |_| {}).await;
    let admin = app.caller(&bearer);
    assert_refused(&undo(&admin, &key).await, "newest_secret_used");
    assert_eq!(undo(&admin, &unused).await.status, 200);
    assert_eq!(code(&admin, &never_used).await, "INVALID_API_KEY");
}

#[tokio::test]
#[cfg_attr(not(feature = "postgres"), ignore = "needs PostgreSQL")]
async fn a_use_on_one_node_counts_on_all_of_them() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let other = TestApp::start_on(app.database.shared(), |_| {}).await;
    let there = other.caller(tenant.admin.bearer());
    for _ in 0..20 {
        let key = create(&tenant, &json!({"name": "n", "permissions": []})).await;
        let new = rotate(&tenant.admin, &key, 60).await;
        assert_eq!(code(&there, &new).await, "VALID");
        assert_refused(&undo(&tenant.admin, &key).await, "newest_secret_used");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_either_used_or_revoked_but_not_both() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let admin = tenant.admin.keeping_connections();
    let (mut first_uses, mut undone) = (0, 0);
    for _ in 0..30 {
        let key = create(&tenant, &json!({"name": "n", "permissions": []})).await;
        let new = rotate(&admin, &key, 60).await;
        let uses = futures_util::future::join_all((0..4).map(|_| code(&admin, &new)));
        let (codes, undo) = futures_util::join!(uses, undo(&admin, &key));
        if undo.status == 200 {
            undone += 1;
            assert!(codes.iter().all(|code| code == "INVALID_API_KEY"), "it was revoked as never used: {codes:?}");
            assert_eq!(code(&admin, &new).await, "INVALID_API_KEY");
        } else {
            first_uses += 1;
            assert_refused(&undo, "newest_secret_used");
            assert!(codes.iter().all(|code| code == "VALID"), "{codes:?}");
        }
        assert_eq!(code(&admin, &key.secret).await, "VALID");
    }
    assert_eq!(first_uses + undone, 30);
}

#[tokio::test]
async fn an_undone_rotation_leaves_the_key_as_it_was() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let key = create(&tenant, &json!({"name": "n", "permissions": [], "prefix": "acme_"})).await;
    let before = tenant.admin.get(&key.path).await.json();
    assert_eq!(code(&tenant.admin, &key.secret).await, "VALID");
    let lost = rotate(&tenant.admin, &key, 60).await;
    app.clock.advance_seconds(30);
    let undone = undo(&tenant.admin, &key).await;
    assert_eq!(undone.status, 200, "{}", undone.text);
    let after = tenant.admin.get(&key.path).await.json();
    let mut expected = before;
    for field in ["version", "updated_at", "request_count", "last_used_at"] {
        expected[field] = after[field].clone();
    }
    assert_eq!((&after, &after["version"]), (&expected, &json!(2)));
    assert_eq!(tenant.admin.get(&format!("{}/previous_secret", key.path)).await.status, 404);
    app.clock.advance_seconds(60);
    assert_eq!(code(&tenant.admin, &key.secret).await, "VALID", "it does not expire any more");
    assert_eq!(code(&tenant.admin, &lost).await, "INVALID_API_KEY");
    assert_refused(&undo(&tenant.admin, &key).await, "no_previous_secret");
    let log: Vec<String> = app.audit(&tenant.org_id).await.into_iter().map(|event| event.action).collect();
    assert_eq!(log.iter().filter(|action| *action == "api_key.undo_rotation").count(), 1);
    assert_eq!(rotate(&tenant.admin, &key, 0).await[..5], *"acme_");
}

#[tokio::test]
async fn undoing_a_rotation_needs_what_rotating_needs() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let key = create(&tenant, &json!({"name": "n", "permissions": ["*"]})).await;
    let new = rotate(&tenant.admin, &key, 60).await;
    let (_, weak) = app.key(&tenant.org_id, KeySpec::with(&["api_keys:write"])).await;
    let (_, short) = app.key(&tenant.org_id, KeySpec { expires_in: Some(60), ..KeySpec::with(&["*"]) }).await;
    let reason = async |secret: &str| undo(&app.caller(secret), &key).await.json()["reason"].clone();
    assert_eq!(reason(&weak).await, "exceeds_permissions");
    assert_eq!(reason(&short).await, "exceeds_expiry");
    assert_eq!(reason(&key.secret).await, "exceeds_expiry", "a previous secret cannot extend its own validity");
    assert_eq!(reason(&new).await, "newest_secret_used");
    let other = app.tenant("Other").await;
    assert_eq!(undo(&other.admin, &key).await.status, 404);
}

#[tokio::test]
async fn of_replaced_secrets_the_newest_100_are_kept() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let key = create(&tenant, &json!({"name": "n", "permissions": []})).await;
    let mut secrets = Vec::new();
    for _ in 0..103 {
        app.clock.advance_seconds(1);
        secrets.push(rotate(&tenant.admin, &key, 60).await);
    }
    let status = async |secret: &str| {
        let found = tenant.admin.post(&format!("{}/find", tenant.keys()), &json!({"key": secret})).await;
        (found.status, found.json()["secret_status"].clone())
    };
    assert_eq!(status(&secrets[0]).await.0, 404);
    assert_eq!(status(&secrets[2]).await, (200, json!("expired")));
    assert_eq!(status(&secrets[102]).await, (200, json!("newest")));
    assert_eq!(status(&key.secret).await, (200, json!("previous")));
}
