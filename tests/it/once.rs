//! Requests that are done once, however often they are sent.

use harness::{Answer, Caller, KeySpec, Tenant, TestApp};
use serde_json::{Value, json};

fn keys_of(tenant: &Tenant) -> String {
    format!("/orgs/{}/api_keys", tenant.org_id)
}

async fn count(tenant: &Tenant) -> usize {
    tenant.admin.get(&keys_of(tenant)).await.json().as_array().expect("an array").len()
}

fn is_replayed(answer: &Answer) -> bool {
    answer.header("idempotent-replayed") == "true"
}

async fn create(caller: &Caller, tenant: &Tenant, word: &str, name: &str) -> Answer {
    let body = json!({"name": name, "permissions": []});
    caller.with("idempotency-key", word).post(&keys_of(tenant), &body).await
}

#[tokio::test]
async fn what_is_sent_again_is_answered_again_without_its_secret() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let first = create(&tenant.admin, &tenant, "w-1", "one").await;
    assert_eq!((first.status, is_replayed(&first), count(&tenant).await), (200, false, 2), "{}", first.text);
    app.clock.advance_seconds(12 * 60 * 60 - 1);
    for word in ["w-1", "\"w-1\""] {
        let again = create(&tenant.admin, &tenant, word, "one").await;
        assert_eq!((again.status, is_replayed(&again)), (200, true), "{word}: {}", again.text);
        let mut expected = first.json();
        expected["key"] = Value::Null;
        assert_eq!(again.json(), expected);
    }
    assert_eq!(count(&tenant).await, 2);
    let secret = first.json()["key"].as_str().expect("a text").to_owned();
    assert!(!app.database.holds(&secret).await, "no secret is kept");
    // Another body, another place, another caller, another word: other requests.
    let other = create(&tenant.admin, &tenant, "w-1", "two").await;
    assert_eq!((other.status, other.json()["code"].clone()), (422, json!(422)), "{}", other.text);
    let (_, key) = app.key(&tenant.org_id, KeySpec::with(&["api_keys:write"])).await;
    assert!(!is_replayed(&create(&app.caller(&key), &tenant, "w-1", "one").await));
    assert!(!is_replayed(&create(&tenant.admin, &tenant, "w-2", "one").await));
    let set = json!({"name": "one", "permissions": []});
    let sets = format!("/orgs/{}/permission_sets", tenant.org_id);
    let made = tenant.admin.with("idempotency-key", "w-1").post(&sets, &set).await;
    assert_eq!((made.status, is_replayed(&made)), (200, false));
    assert_eq!(count(&tenant).await, 5);
    app.clock.advance_seconds(1);
    let late = create(&tenant.admin, &tenant, "w-1", "one").await;
    assert_eq!((late.status, is_replayed(&late), count(&tenant).await), (200, false, 6), "after twelve hours");
}

#[tokio::test]
async fn who_repeats_has_to_be_allowed_still() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (id, key) = app.key(&tenant.org_id, KeySpec::with(&["api_keys:write"])).await;
    let caller = app.caller(&key);
    assert_eq!(create(&caller, &tenant, "w", "one").await.status, 200);
    let path = format!("{}/{id}", keys_of(&tenant));
    assert_eq!(tenant.admin.patch(&path, &json!({"permissions": ["api_keys:read"]})).await.status, 200);
    assert_eq!(create(&caller, &tenant, "w", "one").await.status, 403);
    assert_eq!(tenant.admin.patch(&path, &json!({"enabled": false})).await.status, 200);
    assert_eq!(create(&caller, &tenant, "w", "one").await.status, 401);
}

#[tokio::test]
async fn what_was_not_done_is_tried_again() {
    let app = TestApp::start_with(|config| config.most_keys = 2).await;
    let tenant = app.tenant("Acme").await;
    let first = create(&tenant.admin, &tenant, "w-1", "one").await.json();
    assert_eq!(create(&tenant.admin, &tenant, "w-2", "two").await.status, 409, "no room");
    let path = format!("{}/{}", keys_of(&tenant), first["id"].as_str().expect("an id"));
    assert_eq!(tenant.admin.delete(&path).await.status, 200);
    let second = create(&tenant.admin, &tenant, "w-2", "two").await;
    assert_eq!((second.status, is_replayed(&second)), (200, false), "{}", second.text);
    for wrong in ["", " ", "ä", "a b", &"x".repeat(256)] {
        let refused = create(&tenant.admin, &tenant, wrong, "three").await;
        assert_eq!((refused.status, refused.wrong_fields()), (400, vec!["Idempotency-Key".to_owned()]), "{wrong:?}");
    }
    let twice = tenant.admin.with("idempotency-key", "a").with("idempotency-key", "b");
    assert_eq!(twice.post(&keys_of(&tenant), &json!({"name": "n", "permissions": []})).await.status, 400);
}

#[tokio::test]
async fn of_many_at_once_one_is_done() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let racers = (0..8).map(|_| create(&tenant.admin, &tenant, "w", "one"));
    let answers = futures_util::future::join_all(racers).await;
    let first = answers.iter().filter(|answer| answer.status == 200 && !is_replayed(answer)).count();
    assert_eq!((first, count(&tenant).await), (1, 2));
    assert!(answers.iter().all(|answer| answer.status == 409 || answer.status == 200), "{answers:?}");
    let again = create(&tenant.admin, &tenant, "w", "one").await;
    assert_eq!((again.status, is_replayed(&again)), (200, true));
}

#[tokio::test]
async fn every_request_that_makes_or_changes_something_can_be_repeated() {
    let app = TestApp::start().await;
    let platform = app.platform().await;
    let tenant = app.tenant("Acme").await;
    let org = format!("/orgs/{}", tenant.org_id);
    let made = create(&tenant.admin, &tenant, "make", "one").await.json();
    let id = made["id"].as_str().expect("an id");
    let shape = json!({"prefix": "sk_", "length": 24, "alphabet": "letters"});
    let old = json!({"hash": "00".repeat(32), "permissions": []});
    let person = json!({"user_email": "ben@example.com", "user_name": "Ben", "permissions": []});
    for (caller, path, body, hidden) in [
        (
            &tenant.admin,
            format!("{org}/api_keys/bulk_create"),
            json!({"keys": [{"name": "n", "permissions": []}]}),
            true,
        ),
        (&tenant.admin, format!("{org}/api_keys/{id}/rotate"), json!({"grace_seconds": 0}), true),
        (&tenant.admin, format!("{org}/api_keys/bulk_delete"), json!({"ids": [id]}), false),
        (&tenant.admin, format!("{org}/api_keys/{id}/restore"), json!({}), false),
        (&tenant.admin, format!("{org}/api_keys/import"), json!({"shape": shape, "keys": [old]}), false),
        (&tenant.admin, format!("{org}/permission_sets"), json!({"name": "s", "permissions": []}), false),
        (&tenant.admin, format!("{org}/members"), person, false),
        (&platform, "/orgs".to_owned(), json!({"name": "New"}), false),
    ] {
        let caller = caller.with("idempotency-key", "w");
        let first = caller.post(&path, &body).await;
        assert_eq!((first.status, is_replayed(&first)), (200, false), "{path}: {}", first.text);
        let events = app.audit(&tenant.org_id).await.len();
        let again = caller.post(&path, &body).await;
        assert_eq!((again.status, is_replayed(&again)), (200, true), "{path}: {}", again.text);
        assert_eq!(again.json() == first.json(), !hidden, "{path}: {}", again.text);
        assert_eq!(app.audit(&tenant.org_id).await.len(), events, "{path} was done once");
    }
}
