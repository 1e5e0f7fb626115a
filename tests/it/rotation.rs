//! A new text for a key, and the old one that goes on beside it for a while.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use domain::quota::Quota;
use harness::{Caller, KeySpec, Tenant, TestApp};
use serde_json::{Value, json};

pub(crate) struct Key {
    pub(crate) path: String,
    pub(crate) text: String,
}

pub(crate) async fn create(tenant: &Tenant, body: &Value) -> Key {
    let keys = format!("/orgs/{}/api_keys", tenant.org_id);
    let made = tenant.admin.post(&keys, body).await;
    assert_eq!(made.status, 200, "{}", made.text);
    let text = |name: &str| made.json()[name].as_str().expect("a text").to_owned();
    Key { path: format!("{keys}/{}", text("id")), text: text("key") }
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
async fn both_texts_are_good_until_the_grace_time_ends() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let body = json!({"name": "n", "permissions": ["*"], "prefix": "acme_", "metadata": {"a": 1}});
    let key = create(&tenant, &body).await;
    let before = tenant.admin.get(&key.path).await.json();
    app.clock.advance_seconds(1);
    let new = rotate(&tenant.admin, &key, 60).await;
    let after = tenant.admin.get(&key.path).await.json();
    assert!(new.starts_with("acme_") && new != key.text);
    assert_eq!(after["start"], new[..11]);
    let mut expected = before.clone();
    for moved in ["start", "previous_secret_expires_at", "version", "updated_at"] {
        expected[moved] = after[moved].clone();
        assert_ne!(before[moved], after[moved], "{moved}");
    }
    assert_eq!(after, expected, "and nothing else");
    assert_eq!(
        (code(&tenant.admin, &key.text).await, code(&tenant.admin, &new).await),
        ("VALID".into(), "VALID".into())
    );
    for text in [&key.text, &new] {
        assert_eq!(app.caller(text).get(&key.path).await.status, 200, "as credentials, too");
    }
    app.clock.advance_seconds(59);
    assert_eq!(code(&tenant.admin, &key.text).await, "VALID");
    app.clock.advance_seconds(1);
    assert_eq!(code(&tenant.admin, &key.text).await, "INVALID_API_KEY");
    assert_eq!(app.caller(&key.text).get(&key.path).await.status, 401);
    assert_eq!(code(&tenant.admin, &new).await, "VALID");
    let log: Vec<String> = app.audit(&tenant.org_id).await.into_iter().map(|event| event.action).collect();
    assert_eq!(log.iter().filter(|action| *action == "api_key.rotate").count(), 1);
}

#[tokio::test]
async fn a_key_has_two_texts_at_most() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let key = create(&tenant, &json!({"name": "n", "permissions": []})).await;
    let previous = format!("{}/previous_secret", key.path);
    assert_eq!(tenant.admin.get(&previous).await.status, 404);
    assert_eq!(tenant.admin.delete(&previous).await.status, 404);
    let second = rotate(&tenant.admin, &key, 2_592_000).await;
    let shown = tenant.admin.get(&previous).await.json();
    assert_eq!((&shown["start"], &shown["last_used_at"]), (&json!(key.text[..10]), &Value::Null));
    assert_eq!(shown["expires_at"], "2026-12-21T08:00:00.250Z");
    let again = tenant.admin.post(&format!("{}/rotate", key.path), &json!({"grace_seconds": 1})).await;
    assert_eq!(again.status, 409, "{}", again.text);
    // With no grace everything old ends.
    let third = rotate(&tenant.admin, &key, 0).await;
    let mut codes = Vec::new();
    for text in [&key.text, &second, &third] {
        codes.push(code(&tenant.admin, text).await);
    }
    assert_eq!(codes, ["INVALID_API_KEY", "INVALID_API_KEY", "VALID"]);
    assert_eq!(tenant.admin.get(&previous).await.status, 404);
    // Or it is ended by itself.
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
async fn no_text_outlives_the_key() {
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
        "nothing ends by surprise"
    );
}

#[tokio::test]
async fn nobody_gets_a_text_that_can_do_more_or_longer() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let key = async |spec: KeySpec| {
        let (id, text) = app.key(&tenant.org_id, spec).await;
        Key { path: format!("/orgs/{}/api_keys/{id}", tenant.org_id), text }
    };
    let writer = key(KeySpec::with(&["api_keys:write", "files:read"])).await;
    let caller = app.caller(&writer.text);
    let (weak, strong) = (key(KeySpec::with(&["files:read"])).await, key(KeySpec::with(&["files:*"])).await);
    let status = async |caller: &Caller, key: &Key| {
        caller.post(&format!("{}/rotate", key.path), &json!({"grace_seconds": 0})).await.status
    };
    assert_eq!((status(&caller, &weak).await, status(&caller, &strong).await), (200, 403));
    let hasty = KeySpec { expires_in: Some(60), ..KeySpec::with(&["api_keys:write", "files:read"]) };
    let hasty = key(hasty).await;
    assert_eq!(status(&app.caller(&hasty.text), &weak).await, 403, "it lives longer than the caller");
    let brief = key(KeySpec { expires_in: Some(30), ..KeySpec::with(&["files:read"]) }).await;
    assert_eq!(status(&app.caller(&hasty.text), &brief).await, 200);
    // Itself a key may always rotate, and then only the new text may.
    assert_eq!(status(&caller, &writer).await, 200);
    assert_eq!(status(&caller, &writer).await, 401);
}

#[tokio::test]
async fn limits_and_uses_stay_and_the_last_use_of_the_old_text_is_seen() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    for quota in [Quota::default(), Quota { remaining: Some(10), ..Quota::default() }] {
        let metered = quota.remaining.is_some();
        let (id, text) = app.key(&tenant.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
        let key = Key { path: format!("/orgs/{}/api_keys/{id}", tenant.org_id), text };
        assert_eq!(code(&tenant.admin, &key.text).await, "VALID");
        let new = rotate(&tenant.admin, &key, 3_600).await;
        app.clock.advance_seconds(5);
        assert_eq!(code(&tenant.admin, &new).await, "VALID");
        let previous =
            async || tenant.admin.get(&format!("{}/previous_secret", key.path)).await.json()["last_used_at"].clone();
        let used = app.clock_millis();
        assert_eq!(code(&tenant.admin, &key.text).await, "VALID");
        let since = Instant::now();
        while previous().await == Value::Null {
            assert!(since.elapsed() < Duration::from_secs(20), "it is not written");
        }
        let expected = api::time::Moment(domain::clock::Timestamp::from_millis(used)).text();
        assert_eq!(previous().await, json!(expected));
        while tenant.admin.get(&key.path).await.json()["request_count"] != 3 {
            assert!(since.elapsed() < Duration::from_secs(20), "not all uses are counted: {metered}");
        }
        if metered {
            assert_eq!(tenant.admin.get(&key.path).await.json()["remaining"], 7, "both texts spend the same");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_notices_a_rotation_under_load() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    for remaining in [None, Some(1_000_000)] {
        let quota = Quota { remaining, ..Quota::default() };
        let (id, text) = app.key(&tenant.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
        let key = Key { path: format!("/orgs/{}/api_keys/{id}", tenant.org_id), text };
        let is_over = AtomicBool::new(false);
        let using = async |text: String| {
            let caller = tenant.admin.keeping_connections();
            let mut count = 0;
            while !is_over.load(Ordering::SeqCst) {
                assert_eq!(code(&caller, &text).await, "VALID", "after {count}");
                count += 1;
            }
            count
        };
        let rotating = async {
            let new = rotate(&tenant.admin, &key, 60).await;
            // What is new is good from the answer on, and the old one still is.
            for _ in 0..100 {
                assert_eq!(code(&tenant.admin, &new).await, "VALID");
            }
            is_over.store(true, Ordering::SeqCst);
            new
        };
        let users = futures_util::future::join_all((0..8).map(|_| using(key.text.clone())));
        let (counts, new) = futures_util::join!(users, rotating);
        assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
        app.clock.advance_seconds(60);
        assert_eq!(code(&tenant.admin, &key.text).await, "INVALID_API_KEY", "the grace time is over");
        assert_eq!(code(&tenant.admin, &new).await, "VALID");
    }
}

#[tokio::test]
async fn of_those_who_rotate_at_once_nobody_is_lost() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let key = create(&tenant, &json!({"name": "n", "permissions": []})).await;
    let path = format!("{}/rotate", key.path);
    let body = json!({"grace_seconds": 60});
    let answers = futures_util::future::join_all((0..6).map(|_| tenant.admin.post(&path, &body))).await;
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 409].contains(status)), "{statuses:?}");
    let new = answers.iter().find(|answer| answer.status == 200).expect("one").json();
    assert_eq!(code(&tenant.admin, new["key"].as_str().expect("a text")).await, "VALID");
    assert_eq!(code(&tenant.admin, &key.text).await, "VALID");
}
