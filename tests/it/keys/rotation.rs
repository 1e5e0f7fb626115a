//! Rotation of a key's secret, with a grace period for the previous one.

pub(crate) mod lost_answers;
pub(crate) mod rules;
pub(crate) mod supplied_secrets;

use std::sync::atomic::{AtomicBool, Ordering};

use domain::keys::quota::Quota;
use harness::{Caller, KeySpec, Tenant, TestApp, wait_until};
use serde_json::{Value, json};

pub(crate) struct Key {
    pub(crate) path: String,
    pub(crate) secret: String,
}

pub(crate) async fn create(tenant: &Tenant, body: &Value) -> Key {
    let keys = format!("/orgs/{}/api_keys", tenant.org_id);
    let made = tenant.admin.post(&keys, body).await;
    assert_eq!(made.status, 200, "{}", made.text);
    let text = |name: &str| made.json()[name].as_str().expect("a text").to_owned();
    Key { path: format!("{keys}/{}", text("id")), secret: text("key") }
}

pub(crate) async fn rotate(caller: &Caller, key: &Key, grace_seconds: u64) -> String {
    let answer = caller.post(&format!("{}/rotate", key.path), &json!({"grace_seconds": grace_seconds})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["key"].as_str().expect("a text").to_owned()
}

pub(crate) async fn code(caller: &Caller, text: &str) -> String {
    let answer = caller.post("/api_keys/verify", &json!({"key": text})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["code"].as_str().expect("a code").to_owned()
}

#[tokio::test]
async fn both_secrets_are_valid_until_the_grace_period_ends() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let body = json!({"name": "n", "permissions": ["*"], "prefix": "acme_", "metadata": {"a": 1}});
    let key = create(&tenant, &body).await;
    let before = tenant.admin.get(&key.path).await.json();
    app.clock.advance_seconds(1);
    let new = rotate(&tenant.admin, &key, 60).await;
    let after = tenant.admin.get(&key.path).await.json();
    assert!(new.starts_with("acme_") && new != key.secret);
    assert_eq!(after["start"], new[..11]);
    let mut expected = before.clone();
    for moved in ["start", "previous_secret_expires_at", "version", "updated_at"] {
        expected[moved] = after[moved].clone();
        assert_ne!(before[moved], after[moved], "{moved}");
    }
    assert_eq!(after, expected, "nothing else changes");
    assert_eq!(
        (code(&tenant.admin, &key.secret).await, code(&tenant.admin, &new).await),
        ("VALID".into(), "VALID".into())
    );
    for text in [&key.secret, &new] {
        assert_eq!(app.caller(text).get(&key.path).await.status, 200, "both secrets are credentials");
    }
    app.clock.advance_seconds(59);
    assert_eq!(code(&tenant.admin, &key.secret).await, "VALID");
    app.clock.advance_seconds(1);
    assert_eq!(code(&tenant.admin, &key.secret).await, "INVALID_API_KEY");
    assert_eq!(app.caller(&key.secret).get(&key.path).await.status, 401);
    assert_eq!(code(&tenant.admin, &new).await, "VALID");
    let log: Vec<String> = app.audit(&tenant.org_id).await.into_iter().map(|event| event.action).collect();
    assert_eq!(log.iter().filter(|action| *action == "api_key.rotate").count(), 1);
}

#[tokio::test]
async fn a_key_has_at_most_two_valid_secrets() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let key = create(&tenant, &json!({"name": "n", "permissions": []})).await;
    let previous = format!("{}/previous_secret", key.path);
    assert_eq!(tenant.admin.get(&previous).await.status, 404);
    assert_eq!(tenant.admin.delete(&previous).await.status, 404);
    let second = rotate(&tenant.admin, &key, 2_592_000).await;
    let shown = tenant.admin.get(&previous).await.json();
    assert_eq!((&shown["start"], &shown["last_used_at"]), (&json!(key.secret[..10]), &Value::Null));
    assert_eq!(shown["expires_at"], "2026-12-21T08:00:00.250Z");
    assert_eq!(code(&tenant.admin, &second).await, "VALID");
    let again = tenant.admin.post(&format!("{}/rotate", key.path), &json!({"grace_seconds": 1})).await;
    assert_eq!(again.status, 409, "{}", again.text);
    // Without a grace period all old secrets expire.
    let third = rotate(&tenant.admin, &key, 0).await;
    let mut codes = Vec::new();
    for text in [&key.secret, &second, &third] {
        codes.push(code(&tenant.admin, text).await);
    }
    assert_eq!(codes, ["INVALID_API_KEY", "INVALID_API_KEY", "VALID"]);
    assert_eq!(tenant.admin.get(&previous).await.status, 404);
    // The previous secret can be revoked.
    let fourth = rotate(&tenant.admin, &key, 60).await;
    assert_eq!(code(&tenant.admin, &third).await, "VALID");
    assert_eq!(tenant.admin.delete(&previous).await.status, 200);
    assert_eq!(code(&tenant.admin, &third).await, "INVALID_API_KEY");
    assert_eq!(code(&tenant.admin, &fourth).await, "VALID");
    let mut last = fourth;
    for _ in 0..15 {
        app.clock.advance_seconds(1);
        last = rotate(&tenant.admin, &key, 0).await;
    }
    assert_eq!(code(&tenant.admin, &last).await, "VALID");
    assert_eq!(tenant.admin.delete(&key.path).await.status, 200);
    assert_eq!(code(&tenant.admin, &last).await, "INVALID_API_KEY");
}

#[tokio::test]
async fn a_previous_secret_expires_no_later_than_the_key() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let key = create(&tenant, &json!({"name": "n", "permissions": [], "expires_at": "2026-11-21T08:01:00Z"})).await;
    rotate(&tenant.admin, &key, 3_600).await;
    let previous = tenant.admin.get(&format!("{}/previous_secret", key.path)).await.json();
    assert_eq!(previous["expires_at"], "2026-11-21T08:01:00Z");
    for grace in [json!(-1), json!(2_592_001), json!(1.5), json!("1"), Value::Null, json!(u64::MAX)] {
        let answer = tenant.admin.post(&format!("{}/rotate", key.path), &json!({"grace_seconds": grace})).await;
        assert_eq!((answer.status, answer.wrong_fields()), (400, vec!["grace_seconds".to_owned()]), "{grace}");
    }
    let empty = tenant.admin.post(&format!("{}/rotate", key.path), &json!({})).await;
    assert_eq!(
        (empty.status, empty.wrong_fields()),
        (400, vec!["grace_seconds".to_owned()]),
        "`grace_seconds` is required"
    );
}

#[tokio::test]
async fn rotating_a_key_needs_its_permissions_and_expiry() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let key = async |spec: KeySpec| {
        let (id, text) = app.key(&tenant.org_id, spec).await;
        Key { path: format!("/orgs/{}/api_keys/{id}", tenant.org_id), secret: text }
    };
    let writer = key(KeySpec::with(&["api_keys:write", "files:read"])).await;
    let caller = app.caller(&writer.secret);
    let (weak, strong) = (key(KeySpec::with(&["files:read"])).await, key(KeySpec::with(&["files:*"])).await);
    let status = async |caller: &Caller, key: &Key| {
        caller.post(&format!("{}/rotate", key.path), &json!({"grace_seconds": 0})).await.status
    };
    assert_eq!((status(&caller, &weak).await, status(&caller, &strong).await), (200, 403));
    let expiring = KeySpec { expires_in: Some(60), ..KeySpec::with(&["api_keys:write", "files:read"]) };
    let expiring = key(expiring).await;
    assert_eq!(status(&app.caller(&expiring.secret), &weak).await, 403, "the key expires later than the caller");
    let short_lived = key(KeySpec { expires_in: Some(30), ..KeySpec::with(&["files:read"]) }).await;
    assert_eq!(status(&app.caller(&expiring.secret), &short_lived).await, 200);
    // A key can always rotate itself. Then only the new secret can.
    assert_eq!(status(&caller, &writer).await, 200);
    assert_eq!(status(&caller, &writer).await, 401);
}

#[tokio::test]
async fn rotation_keeps_limits_and_shows_the_last_use_of_the_previous_secret() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    for quota in [Quota::default(), Quota { remaining: Some(10), ..Quota::default() }] {
        let metered = quota.remaining.is_some();
        let (id, text) = app.key(&tenant.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
        let key = Key { path: format!("/orgs/{}/api_keys/{id}", tenant.org_id), secret: text };
        assert_eq!(code(&tenant.admin, &key.secret).await, "VALID");
        let new = rotate(&tenant.admin, &key, 3_600).await;
        app.clock.advance_seconds(5);
        assert_eq!(code(&tenant.admin, &new).await, "VALID");
        let previous =
            async || tenant.admin.get(&format!("{}/previous_secret", key.path)).await.json()["last_used_at"].clone();
        let used = app.now_millis();
        assert_eq!(code(&tenant.admin, &key.secret).await, "VALID");
        wait_until("the last use of the previous secret", async || {
            (previous().await != Value::Null).then_some(()).ok_or("null")
        })
        .await;
        let expected = api::http::rfc3339::Rfc3339(domain::clock::Timestamp::from_millis(used)).text();
        assert_eq!(previous().await, json!(expected));
        wait_until("three counted uses", async || {
            let count = tenant.admin.get(&key.path).await.json()["request_count"].clone();
            (count == 3).then_some(()).ok_or(count)
        })
        .await;
        if metered {
            assert_eq!(tenant.admin.get(&key.path).await.json()["remaining"], 7, "both secrets use the same limit");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_secrets_stay_valid_during_a_rotation_under_load() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    for remaining in [None, Some(1_000_000)] {
        let quota = Quota { remaining, ..Quota::default() };
        let (id, text) = app.key(&tenant.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
        let key = Key { path: format!("/orgs/{}/api_keys/{id}", tenant.org_id), secret: text };
        let is_over = AtomicBool::new(false);
        let using = async |text: String| {
            let caller = tenant.admin.keeping_connections();
            let mut count = 0;
            while !is_over.load(Ordering::SeqCst) {
                assert_eq!(code(&caller, &text).await, "VALID", "after {count} verifications");
                count += 1;
            }
            count
        };
        let rotating = async {
            let new = rotate(&tenant.admin, &key, 60).await;
            // The new secret is valid from the response on, and the old one still is.
            for _ in 0..100 {
                assert_eq!(code(&tenant.admin, &new).await, "VALID");
            }
            is_over.store(true, Ordering::SeqCst);
            new
        };
        let users = futures_util::future::join_all((0..8).map(|_| using(key.secret.clone())));
        let (counts, new) = futures_util::join!(users, rotating);
        assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
        app.clock.advance_seconds(60);
        assert_eq!(code(&tenant.admin, &key.secret).await, "INVALID_API_KEY", "the grace period is over");
        assert_eq!(code(&tenant.admin, &new).await, "VALID");
    }
}

#[tokio::test]
async fn after_concurrent_rotations_one_new_secret_and_the_previous_one_are_valid() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let key = create(&tenant, &json!({"name": "n", "permissions": []})).await;
    let path = format!("{}/rotate", key.path);
    let body = json!({"grace_seconds": 60});
    let answers = futures_util::future::join_all((0..6).map(|_| tenant.admin.post(&path, &body))).await;
    let mut valid = 0;
    for answer in answers {
        assert_eq!(answer.status, 200, "none of the new secrets was used: {}", answer.text);
        let new = answer.json()["key"].as_str().expect("a text").to_owned();
        valid += usize::from(code(&tenant.admin, &new).await == "VALID");
    }
    assert_eq!((valid, code(&tenant.admin, &key.secret).await), (1, "VALID".to_owned()));
}
