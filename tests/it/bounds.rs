//! What a tenant can make the service keep has a bound, and what is beyond it is told in plain words.

use harness::{Answer, Caller, KeySpec, Tenant, TestApp};
use serde_json::{Value, json};

fn keys_of(tenant: &Tenant) -> String {
    format!("/orgs/{}/api_keys", tenant.org_id)
}

async fn create(caller: &Caller, tenant: &Tenant) -> Answer {
    caller.post(&keys_of(tenant), &json!({"name": "n", "permissions": []})).await
}

async fn create_once(tenant: &Tenant, word: &str) -> Answer {
    create(&tenant.admin.with("idempotency-key", word), tenant).await
}

fn is_replayed(answer: &Answer) -> bool {
    answer.header("idempotent-replayed") == "true"
}

fn id(answer: &Answer) -> String {
    answer.json()["id"].as_str().unwrap_or_else(|| panic!("{}", answer.text)).to_owned()
}

async fn deleted(tenant: &Tenant) -> Vec<String> {
    let list = tenant.admin.get(&format!("{}?deleted=true", keys_of(tenant))).await.json();
    let id = |key: &Value| key["id"].as_str().expect("an id").to_owned();
    list.as_array().expect("an array").iter().map(id).collect()
}

#[tokio::test]
async fn changes_of_an_hour_are_bounded_and_ending_goes_on() {
    let app = TestApp::start_with(|config| config.most_changes = 8).await;
    let platform = app.platform().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let org = format!("/orgs/{}", tenant.org_id);
    let person = json!({"user_email": "ben@example.com", "user_name": "Ben", "permissions": []});
    let set = json!({"name": "s", "permissions": []});
    // Sign-up is the first one.
    let user = tenant.admin.post(&format!("{org}/members"), &person).await.json();
    let user = user["user_id"].as_str().expect("an id").to_owned();
    let set_id = id(&tenant.admin.post(&format!("{org}/permission_sets"), &set).await);
    let mut made = Vec::new();
    for _ in 0..3 {
        made.push(id(&create(&tenant.admin, &tenant).await));
    }
    let key = format!("{}/{}", keys_of(&tenant), made[0]);
    let rotate = json!({"grace_seconds": 60});
    assert_eq!(tenant.admin.post(&format!("{key}/rotate"), &rotate).await.status, 200);
    let two = json!({"keys": [{"name": "n", "permissions": []}, {"name": "n", "permissions": []}]});
    let both = tenant.admin.post(&format!("{}/bulk_create", keys_of(&tenant)), &two).await;
    assert_eq!(both.status, 429, "all or none: {}", both.text);
    made.push(id(&create(&tenant.admin, &tenant).await));
    let events = app.audit(&tenant.org_id).await.len();
    assert_eq!(events, 8);
    for (method, path, body) in [
        ("POST", keys_of(&tenant), json!({"name": "n", "permissions": []})),
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
    assert_eq!(app.audit(&tenant.org_id).await.len(), events, "nothing was done");
    assert_eq!(create(&other.admin, &other).await.status, 200, "others have an hour of their own");
    // Nobody who has used it up keeps others from taking back what was given.
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
    let answer = tenant.admin.post(&format!("{}/bulk_delete", keys_of(&tenant)), &both).await;
    assert_eq!(answer.json()["deleted"], 2, "{}", answer.text);
    assert_eq!(platform.patch(&org, &json!({"suspended": true})).await.status, 200);
    assert_eq!(platform.patch(&org, &json!({"suspended": false})).await.status, 429);
    app.clock.advance_seconds(3_600);
    assert_eq!(platform.patch(&org, &json!({"suspended": false})).await.status, 200);
    assert_eq!(create(&tenant.admin, &tenant).await.status, 200);
    let last = app.audit(&tenant.org_id).await.len();
    assert_eq!(last, events + 4 + 2 + 1 + 2, "all that was done is there");
}

#[tokio::test]
async fn deleted_keys_have_a_cap_of_their_own() {
    let app = TestApp::start_with(|config| config.most_keys = 3).await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let others = id(&create(&other.admin, &other).await);
    assert_eq!(other.admin.delete(&format!("{}/{others}", keys_of(&other))).await.status, 200);
    let mut all = Vec::new();
    for _ in 0..6 {
        app.clock.advance_seconds(1);
        let key = id(&create(&tenant.admin, &tenant).await);
        let answer = tenant.admin.delete(&format!("{}/{key}", keys_of(&tenant))).await;
        assert_eq!(answer.status, 200, "it never fails: {}", answer.text);
        all.push(key);
        assert_eq!(deleted(&tenant).await, all[all.len().saturating_sub(3)..], "the oldest ones make room");
    }
    let restore =
        async |key: &str| tenant.admin.post(&format!("{}/{key}/restore", keys_of(&tenant)), &json!({})).await.status;
    assert_eq!((restore(&all[2]).await, restore(&all[3]).await), (404, 200));
    // What was restored makes room, too.
    app.clock.advance_seconds(1);
    let key = id(&create(&tenant.admin, &tenant).await);
    assert_eq!(tenant.admin.delete(&format!("{}/{key}", keys_of(&tenant))).await.status, 200);
    assert_eq!(deleted(&tenant).await, [&all[4], &all[5], &key].map(Clone::clone));
    // Many at once.
    let ids = json!({"ids": [tenant.key_id, all[3]]});
    let bulk = tenant.admin.post(&format!("{}/bulk_delete", keys_of(&tenant)), &ids).await;
    assert_eq!(bulk.json()["deleted"], 2, "{}", bulk.text);
    assert_eq!(deleted(&other).await, [others], "others keep theirs");
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_not_kept() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let bulk = format!("{}/bulk_create", keys_of(&tenant));
    let once = tenant.admin.with("idempotency-key", "w");
    let key = json!({"name": "n", "permissions": [], "metadata": {"a": "x".repeat(2_000)}});
    let body = json!({"keys": vec![key.clone(); 32]});
    let first = once.post(&bulk, &body).await;
    assert_eq!((first.status, is_replayed(&first)), (200, false), "{}", first.text);
    let again = once.post(&bulk, &body).await;
    assert_eq!((again.status, is_replayed(&again)), (409, false), "{}", again.text);
    assert!(again.text.contains("was done") && again.text.contains("too large"), "{}", again.text);
    assert_eq!(once.post(&bulk, &json!({"keys": [key]})).await.status, 422, "another body");
    let list = tenant.admin.get(&keys_of(&tenant)).await.json();
    assert_eq!(list.as_array().map(Vec::len), Some(33), "it was done once");
    let kept = create_once(&tenant, "v").await;
    assert_eq!((kept.status, is_replayed(&create_once(&tenant, "v").await)), (200, true));
}

#[tokio::test]
async fn idempotency_keys_of_an_hour_are_bounded() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let made = id(&create_once(&tenant, "w-1").await);
    app.spend_hour(&tenant.org_id, 1, 10_000, 0).await;
    let refused = create_once(&tenant, "w-2").await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, "3600"), "{}", refused.text);
    assert!(is_replayed(&create_once(&tenant, "w-1").await), "what was done is still known");
    assert_eq!(create(&tenant.admin, &tenant).await.status, 200, "without one");
    assert_eq!(create_once(&other, "w-2").await.status, 200);
    // Ending keys goes on; done again, it finds nothing.
    let (bulk, body) = (format!("{}/bulk_delete", keys_of(&tenant)), json!({"ids": [made]}));
    for count in [1, 0] {
        let answer = tenant.admin.with("idempotency-key", "w-3").post(&bulk, &body).await;
        assert_eq!((answer.status, is_replayed(&answer)), (200, false));
        assert_eq!(answer.json()["deleted"], count);
    }
    app.clock.advance_seconds(3_600);
    assert_eq!(create_once(&tenant, "w-2").await.status, 200);
    // Their answers have a bound, too.
    app.spend_hour(&tenant.org_id, 1, 1, 4 * 1024 * 1024 - 100).await;
    assert_eq!(create_once(&tenant, "w-4").await.status, 200);
    let again = create_once(&tenant, "w-4").await;
    assert_eq!(again.status, 409, "it was done, and its answer is not kept: {}", again.text);
    app.clock.advance_seconds(3_600);
    assert_eq!(create_once(&tenant, "w-5").await.status, 200);
    assert!(is_replayed(&create_once(&tenant, "w-5").await));
}

#[tokio::test]
async fn a_clock_that_was_ahead_does_not_stop_changes() {
    let app = TestApp::start_with(|config| config.most_changes = 3).await;
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
async fn all_requests_that_are_done_once_have_a_bound() {
    let app = TestApp::start_with(|config| (config.bounds.idempotency_keys, config.bounds.answers) = (3, 1)).await;
    let tenant = app.tenant("Acme").await;
    for word in ["w-1", "w-2"] {
        assert_eq!(create_once(&tenant, word).await.status, 200);
        app.clock.advance_seconds(1);
    }
    app.purge().await;
    assert_eq!(create_once(&tenant, "w-1").await.status, 409, "it is known, and its answer is not");
    assert!(is_replayed(&create_once(&tenant, "w-2").await), "the newest one is");
    assert_eq!(create_once(&tenant, "w-3").await.status, 200);
    app.purge().await;
    let refused = create_once(&tenant, "w-4").await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, "60"), "{}", refused.text);
    assert_eq!(create(&tenant.admin, &tenant).await.status, 200);
    app.clock.advance_seconds(12 * 3_600);
    app.purge().await;
    assert_eq!(create_once(&tenant, "w-4").await.status, 200);
}

#[tokio::test]
async fn the_oldest_session_of_an_organization_makes_room() {
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
async fn a_key_knows_its_newest_hundred_ended_texts() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let made = create(&tenant.admin, &tenant).await.json();
    let path = format!("{}/{}/rotate", keys_of(&tenant), made["id"].as_str().expect("an id"));
    let mut texts = vec![made["key"].as_str().expect("a text").to_owned()];
    for _ in 0..102 {
        app.clock.advance_seconds(1);
        let rotated = tenant.admin.post(&path, &json!({"grace_seconds": 0})).await;
        texts.push(rotated.json()["key"].as_str().expect("a text").to_owned());
    }
    let mut told = Vec::new();
    for text in &texts[..3] {
        assert_eq!(app.caller(text).get("/me").await.status, 401);
        let log = tenant.admin.get(&format!("/orgs/{}/audit_events?outcome=alarm", tenant.org_id)).await.json();
        told.push(log.as_array().expect("an array").iter().any(|event| event["reason"] == json!(text[..10])));
    }
    assert_eq!(told, [false, false, true]);
    assert_eq!(app.caller(&texts[102]).get("/me").await.status, 200);
}
