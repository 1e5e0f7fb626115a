//! The data that a tenant can store is limited, and errors say which limit is reached.

use api::config::Config;
use harness::{Answer, Caller, KeySpec, Tenant, TestApp};
use serde_json::{Value, json};

async fn create(caller: &Caller, tenant: &Tenant) -> Answer {
    caller.post(&tenant.keys(), &json!({"name": "n", "permissions": []})).await
}

async fn create_idempotently(tenant: &Tenant, idempotency_key: &str) -> Answer {
    create(&tenant.admin.with("idempotency-key", idempotency_key), tenant).await
}

fn is_replayed(answer: &Answer) -> bool {
    answer.header("idempotent-replayed") == "true"
}

fn id(answer: &Answer) -> String {
    answer.json()["id"].as_str().unwrap_or_else(|| panic!("{}", answer.text)).to_owned()
}

async fn deleted(tenant: &Tenant) -> Vec<String> {
    let list = tenant.admin.get(&format!("{}?deleted=true", tenant.keys())).await.json();
    let id = |key: &Value| key["id"].as_str().expect("an id").to_owned();
    list.as_array().expect("an array").iter().map(id).collect()
}

#[tokio::test]
async fn changes_per_hour_are_limited_except_deletions() {
    let app = TestApp::start_with(|config| config.max_changes = 8).await;
    let platform = app.platform().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let org = format!("/orgs/{}", tenant.org_id);
    let person = json!({"user_email": "ben@example.com", "user_name": "Ben", "permissions": []});
    let set = json!({"name": "s", "permissions": []});
    // Sign-up is the first change.
    let user = tenant.admin.post(&format!("{org}/members"), &person).await.json();
    let user = user["user_id"].as_str().expect("an id").to_owned();
    let set_id = id(&tenant.admin.post(&format!("{org}/permission_sets"), &set).await);
    let mut made = Vec::new();
    for _ in 0..3 {
        made.push(id(&create(&tenant.admin, &tenant).await));
    }
    let key = format!("{}/{}", tenant.keys(), made[0]);
    let rotate = json!({"grace_seconds": 60});
    assert_eq!(tenant.admin.post(&format!("{key}/rotate"), &rotate).await.status, 200);
    let two = json!({"keys": [{"name": "n", "permissions": []}, {"name": "n", "permissions": []}]});
    let both = tenant.admin.post(&format!("{}/bulk_create", tenant.keys()), &two).await;
    assert_eq!(both.status, 429, "all or none: {}", both.text);
    made.push(id(&create(&tenant.admin, &tenant).await));
    let events = app.audit(&tenant.org_id).await.len();
    assert_eq!(events, 8);
    for (method, path, body) in [
        ("POST", tenant.keys(), json!({"name": "n", "permissions": []})),
        ("POST", "/api/auth/api-key/create".to_owned(), json!({})),
        ("PATCH", key.clone(), json!({"name": "x"})),
        ("POST", format!("{key}/rotate"), json!({"grace_seconds": 0})),
        ("PATCH", format!("{org}/members/{user}"), json!({"permissions": ["read"]})),
        ("POST", format!("{org}/permission_sets"), json!({"name": "t", "permissions": []})),
        ("PATCH", format!("{org}/permission_sets/{set_id}"), json!({"name": "t"})),
        ("PATCH", org.clone(), json!({"name": "t"})),
    ] {
        let body = body.to_string().into_bytes();
        let answer = tenant.admin.with("content-type", "application/json").send(method, &path, Some(body)).await;
        assert_eq!((answer.status, answer.header("retry-after")), (429, "3600"), "{method} {path}: {}", answer.text);
    }
    assert_eq!(app.audit(&tenant.org_id).await.len(), events, "nothing was executed");
    assert_eq!(create(&other.admin, &other).await.status, 200, "the limit is for each organization");
    // Deletions are possible when the limit is used up.
    for path in [
        format!("{key}/previous_secret"),
        key.clone(),
        format!("{org}/members/{user}"),
        format!("{org}/permission_sets/{set_id}"),
    ] {
        let answer = tenant.admin.delete(&path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    }
    let both = json!({"ids": made[1..3]});
    let answer = tenant.admin.post(&format!("{}/bulk_delete", tenant.keys()), &both).await;
    assert_eq!(answer.json()["deleted"], 2, "{}", answer.text);
    assert_eq!(platform.patch(&org, &json!({"suspended": true})).await.status, 200);
    assert_eq!(platform.patch(&org, &json!({"suspended": false})).await.status, 429);
    app.clock.advance_seconds(3_600);
    assert_eq!(platform.patch(&org, &json!({"suspended": false})).await.status, 200);
    assert_eq!(create(&tenant.admin, &tenant).await.status, 200);
    let last = app.audit(&tenant.org_id).await.len();
    assert_eq!(last, events + 4 + 2 + 1 + 2, "all executed changes are logged");
}

#[tokio::test]
async fn the_oldest_deleted_keys_are_purged_at_the_cap() {
    let app = TestApp::start_with(|config| config.max_api_keys = 3).await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let others = id(&create(&other.admin, &other).await);
    assert_eq!(other.admin.delete(&format!("{}/{others}", other.keys())).await.status, 200);
    let mut all = Vec::new();
    for _ in 0..6 {
        app.clock.advance_seconds(1);
        let key = id(&create(&tenant.admin, &tenant).await);
        let answer = tenant.admin.delete(&format!("{}/{key}", tenant.keys())).await;
        assert_eq!(answer.status, 200, "deletions are never refused: {}", answer.text);
        all.push(key);
        assert_eq!(deleted(&tenant).await, all[all.len().saturating_sub(3)..], "the oldest deleted keys are purged");
    }
    let restore =
        async |key: &str| tenant.admin.post(&format!("{}/{key}/restore", tenant.keys()), &json!({})).await.status;
    assert_eq!((restore(&all[2]).await, restore(&all[3]).await), (404, 200));
    // A restored key can be deleted again.
    app.clock.advance_seconds(1);
    let key = id(&create(&tenant.admin, &tenant).await);
    assert_eq!(tenant.admin.delete(&format!("{}/{key}", tenant.keys())).await.status, 200);
    assert_eq!(deleted(&tenant).await, [&all[4], &all[5], &key].map(Clone::clone));
    // With a bulk deletion.
    let ids = json!({"ids": [tenant.key_id, all[3]]});
    let bulk = tenant.admin.post(&format!("{}/bulk_delete", tenant.keys()), &ids).await;
    assert_eq!(bulk.json()["deleted"], 2, "{}", bulk.text);
    assert_eq!(deleted(&other).await, [others], "deleted keys of other organizations stay");
}

#[tokio::test]
async fn too_large_responses_are_not_stored_for_idempotency() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let bulk = format!("{}/bulk_create", tenant.keys());
    let once = tenant.admin.with("idempotency-key", "w");
    let key = json!({"name": "n", "permissions": [], "metadata": {"a": "x".repeat(2_000)}});
    let body = json!({"keys": vec![key.clone(); 32]});
    let first = once.post(&bulk, &body).await;
    assert_eq!((first.status, is_replayed(&first)), (200, false), "{}", first.text);
    let again = once.post(&bulk, &body).await;
    assert_eq!((again.status, is_replayed(&again)), (409, false), "{}", again.text);
    assert!(again.text.contains("was executed") && again.text.contains("too large"), "{}", again.text);
    assert_eq!(once.post(&bulk, &json!({"keys": [key]})).await.status, 422, "another body");
    let list = tenant.admin.get(&tenant.keys()).await.json();
    assert_eq!(list.as_array().map(Vec::len), Some(33), "the request was executed once");
    let kept = create_idempotently(&tenant, "v").await;
    assert_eq!((kept.status, is_replayed(&create_idempotently(&tenant, "v").await)), (200, true));
}

#[tokio::test]
async fn idempotency_keys_per_hour_are_limited() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let made = id(&create_idempotently(&tenant, "w-1").await);
    app.set_counts_of_hour(&tenant.org_id, 1, 10_000, 0).await;
    let refused = create_idempotently(&tenant, "w-2").await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, "3600"), "{}", refused.text);
    assert!(is_replayed(&create_idempotently(&tenant, "w-1").await), "executed requests are still known");
    assert_eq!(create(&tenant.admin, &tenant).await.status, 200, "without an idempotency key");
    assert_eq!(create_idempotently(&other, "w-2").await.status, 200);
    // Keys can be deleted. A repeated request is executed again, and finds nothing.
    let (bulk, body) = (format!("{}/bulk_delete", tenant.keys()), json!({"ids": [made]}));
    for count in [1, 0] {
        let answer = tenant.admin.with("idempotency-key", "w-3").post(&bulk, &body).await;
        assert_eq!((answer.status, is_replayed(&answer)), (200, false));
        assert_eq!(answer.json()["deleted"], count);
    }
    app.clock.advance_seconds(3_600);
    assert_eq!(create_idempotently(&tenant, "w-2").await.status, 200);
    // The stored responses are limited as well.
    app.set_counts_of_hour(&tenant.org_id, 1, 1, 4 * 1024 * 1024 - 100).await;
    assert_eq!(create_idempotently(&tenant, "w-4").await.status, 200);
    let again = create_idempotently(&tenant, "w-4").await;
    assert_eq!(again.status, 409, "executed, but the response is not stored: {}", again.text);
    app.clock.advance_seconds(3_600);
    assert_eq!(create_idempotently(&tenant, "w-5").await.status, 200);
    assert!(is_replayed(&create_idempotently(&tenant, "w-5").await));
}

#[tokio::test]
async fn changes_are_accepted_after_the_clock_was_ahead() {
    let app = TestApp::start_with(|config| config.max_changes = 3).await;
    let tenant = app.tenant("Acme").await;
    app.clock.advance_seconds(30 * 24 * 3_600);
    for _ in 0..3 {
        assert_eq!(create(&tenant.admin, &tenant).await.status, 200);
    }
    assert_eq!(create(&tenant.admin, &tenant).await.status, 429);
    app.clock.advance_seconds(-29 * 24 * 3_600);
    assert_eq!(create(&tenant.admin, &tenant).await.status, 200);
}

#[tokio::test]
async fn only_the_newest_idempotent_responses_are_stored() {
    let app = TestApp::start_with(|config| config.bounds.stored_responses = 1).await;
    let tenant = app.tenant("Acme").await;
    for idempotency_key in ["w-1", "w-2"] {
        assert_eq!(create_idempotently(&tenant, idempotency_key).await.status, 200);
        app.clock.advance_seconds(1);
    }
    app.purge().await;
    assert_eq!(
        create_idempotently(&tenant, "w-1").await.status,
        409,
        "the request is known, its response is not stored"
    );
    assert!(is_replayed(&create_idempotently(&tenant, "w-2").await), "the newest response is stored");
}

/// Deletes a key by a request with this idempotency key. Returns whether it was deleted, and whether the response was
/// stored.
async fn delete_idempotently(tenant: &Tenant, key: &str, idempotency_key: &str) -> (bool, bool) {
    let (bulk, body) = (format!("{}/bulk_delete", tenant.keys()), json!({"ids": [key]}));
    let once = tenant.admin.with("idempotency-key", idempotency_key);
    let first = once.post(&bulk, &body).await;
    assert_eq!(first.status, 200, "{}", first.text);
    (first.json()["deleted"] == 1, is_replayed(&once.post(&bulk, &body).await))
}

#[tokio::test]
async fn idempotency_keys_of_one_organization_leave_room_for_others() {
    let bounds = |config: &mut Config| {
        (config.bounds.idempotency_keys, config.bounds.idempotency_keys_when_crowded) = (4, 2);
        config.bounds.stored_responses = 1;
    };
    let app = TestApp::start_with(bounds).await;
    let (large, small) = (app.tenant("Large").await, app.tenant("Small").await);
    let mut keys = Vec::new();
    for idempotency_key in ["w-1", "w-2", "w-3", "w-4"] {
        keys.push(id(&create_idempotently(&large, idempotency_key).await));
    }
    app.purge().await;
    let refused = create_idempotently(&large, "w-5").await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, "3600"), "{}", refused.text);
    assert_eq!(create_idempotently(&large, "w-1").await.status, 409, "executed requests are still known");
    assert_eq!(create(&large.admin, &large).await.status, 200, "without an idempotency key");
    assert_eq!(delete_idempotently(&large, &keys[0], "w-5").await, (true, false), "deletions are not limited");
    for (idempotency_key, status) in [("w-1", 200), ("w-2", 200), ("w-3", 429)] {
        assert_eq!(
            create_idempotently(&small, idempotency_key).await.status,
            status,
            "{idempotency_key}: an organization with few is not limited"
        );
    }
    app.clock.advance_seconds(3_600);
    app.purge().await;
    assert_eq!(delete_idempotently(&large, &keys[1], "w-6").await, (true, true), "a new hour");
    assert_eq!(create_idempotently(&large, "w-7").await.status, 200);
    // At twice the global limit, no organization gets more.
    app.purge().await;
    for tenant in [&large, &small] {
        assert_eq!(create_idempotently(tenant, "w-8").await.status, 429);
        assert_eq!(create(&tenant.admin, tenant).await.status, 200, "without an idempotency key");
    }
    assert_eq!(delete_idempotently(&large, &keys[2], "w-9").await, (true, false));
    app.clock.advance_seconds(12 * 3_600);
    app.purge().await;
    assert_eq!(create_idempotently(&large, "w-1").await.status, 200);
}

#[tokio::test]
async fn the_oldest_session_of_an_organization_is_replaced_at_the_limit() {
    let app = TestApp::start_with(|config| config.bounds.sessions = 3).await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let mut browsers = Vec::new();
    let open = async |tenant: &Tenant| {
        let (_, key) = app.key(&tenant.org_id, KeySpec::with(&["org:read"])).await;
        let session = app.caller(&key).post("/session", &json!({})).await;
        assert_eq!(session.status, 200, "{}", session.text);
        app.clock.advance_seconds(1);
        app.anyone().with("cookie", session.cookie()).with("sec-fetch-site", "same-origin")
    };
    let others = open(&other).await;
    for _ in 0..5 {
        browsers.push(open(&tenant).await);
    }
    let mut statuses = Vec::new();
    for browser in &browsers {
        statuses.push(browser.get("/me").await.status);
    }
    assert_eq!(statuses, [401, 401, 200, 200, 200]);
    assert_eq!(others.get("/me").await.status, 200);
}

#[tokio::test]
async fn the_newest_100_expired_secrets_of_a_key_raise_alarms() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let made = create(&tenant.admin, &tenant).await.json();
    let path = format!("{}/{}/rotate", tenant.keys(), made["id"].as_str().expect("an id"));
    let mut secrets = vec![made["key"].as_str().expect("a text").to_owned()];
    for _ in 0..102 {
        app.clock.advance_seconds(1);
        let rotated = tenant.admin.post(&path, &json!({"grace_seconds": 0})).await;
        secrets.push(rotated.json()["key"].as_str().expect("a text").to_owned());
    }
    let mut logged = Vec::new();
    for text in &secrets[..3] {
        assert_eq!(app.caller(text).get("/me").await.status, 401);
        let log = tenant.admin.get(&format!("/orgs/{}/audit_events?outcome=alarm", tenant.org_id)).await.json();
        logged.push(log.as_array().expect("an array").iter().any(|event| event["secret_start"] == json!(text[..10])));
    }
    assert_eq!(logged, [false, false, true]);
    assert_eq!(app.caller(&secrets[102]).get("/me").await.status, 200);
}
