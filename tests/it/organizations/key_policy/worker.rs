//! The worker disables keys whose secret is too old, and keys that are not used.

use harness::{KeySpec, TestApp};
use serde_json::{Value, json};

use super::{DAY, create, create_set, id, in_days, org, set_policy};
use crate::audit_log::events::events;

#[tokio::test]
async fn keys_whose_secret_was_not_rotated_in_time_are_disabled_if_the_policy_enforces_it() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let admin = &tenant.admin;
    // The key of the administrator must stay enabled: its policy is that of a set.
    let lax = create_set(&tenant, &["files:read"], json!({"rotation": {"days": 10}})).await;
    let strict = create_set(&tenant, &["files:read"], json!({"rotation": {"days": 10, "enforce": true}})).await;
    let mut ids = Vec::new();
    for (name, set) in
        [("lax", &lax), ("old", &strict), ("rotated", &strict), ("disabled", &strict), ("expired", &strict)]
    {
        let mut body = json!({"name": name, "permission_sets": [set]});
        if name == "expired" {
            body["expires_at"] = json!(in_days(&app, 5));
        }
        let made = create(admin, &tenant, body).await;
        ids.push((id(&made), made.json()["key"].as_str().expect("a secret").to_owned()));
    }
    let path = |n: usize| format!("{}/{}", tenant.keys(), ids[n].0);
    let verify =
        async |n: usize| admin.post("/api_keys/verify", &json!({"key": ids[n].1})).await.json()["code"].clone();
    assert_eq!(admin.patch(&path(3), &json!({"enabled": false})).await.status, 200);
    app.clock.advance_seconds(10 * DAY - 1);
    assert_eq!(admin.post(&format!("{}/rotate", path(2)), &json!({"grace_seconds": 60})).await.status, 200);
    assert_eq!(app.apply_key_policies().await, 0);
    let session = app.caller(&ids[1].1).post("/session", &json!({})).await;
    let browser = app.anyone().with("cookie", session.cookie()).with("sec-fetch-site", "same-origin");
    assert_eq!(browser.get("/me").await.status, 200);
    app.clock.advance_seconds(1);
    assert_eq!(verify(1).await, "VALID", "it is cached");
    assert_eq!(app.apply_key_policies().await, 1);
    assert_eq!(verify(1).await, "KEY_DISABLED");
    assert_eq!(browser.get("/me").await.status, 401, "its sessions have ended");
    assert_eq!((verify(0).await, verify(2).await), (json!("VALID"), json!("VALID")));
    assert_eq!(app.apply_key_policies().await, 0, "once");
    let log = format!("{}/audit_events?action=api_key.disable_unrotated", org(&tenant));
    let logged = events(admin, &log).await;
    assert_eq!(logged.len(), 1);
    assert_eq!(
        (&logged[0]["target_id"], &logged[0]["actor"]["type"]),
        (&json!(ids[1].0), &json!("operator")),
        "{logged:?}"
    );
    let version = admin.get(&path(1)).await.json()["version"].clone();
    assert_eq!(version, 1, "it is a change like any other");
    // After a rotation it can be enabled again, and stays so.
    assert_eq!(admin.post(&format!("{}/rotate", path(1)), &json!({"grace_seconds": 0})).await.status, 200);
    assert_eq!(admin.patch(&path(1), &json!({"enabled": true})).await.status, 200);
    assert_eq!(app.apply_key_policies().await, 0);
}

#[tokio::test]
async fn keys_that_are_not_used_are_disabled_after_the_days_of_the_policy() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let admin = &tenant.admin;
    let key = async |name: &str| {
        let made = create(admin, &tenant, json!({"name": name})).await;
        (format!("{}/{}", tenant.keys(), id(&made)), made.json()["key"].as_str().expect("a secret").to_owned())
    };
    let (unused, used, changed) = (key("unused").await, key("used").await, key("changed").await);
    set_policy(&tenant, json!({"disable_unused_after_days": 30})).await;
    app.clock.advance_seconds(29 * DAY);
    let young = key("young").await;
    assert_eq!(admin.post("/api_keys/verify", &json!({"key": used.1})).await.json()["code"], "VALID");
    assert_eq!(admin.patch(&changed.0, &json!({"description": "still needed"})).await.status, 200);
    harness::wait_until("the use is stored", async || {
        let answer = admin.get(&used.0).await;
        if answer.json()["last_used_at"].is_null() { Err(answer.text) } else { Ok(()) }
    })
    .await;
    assert_eq!(app.apply_key_policies().await, 0);
    app.clock.advance_seconds(DAY);
    assert_eq!(app.apply_key_policies().await, 1);
    let enabled = async |key: &(String, String)| admin.get(&key.0).await.json()["enabled"].clone();
    assert_eq!(enabled(&unused).await, false);
    for key in [&used, &changed, &young] {
        assert_eq!(enabled(key).await, true);
    }
    let logged = events(admin, &format!("{}/audit_events?action=api_key.disable_unused", org(&tenant))).await;
    assert_eq!(logged.len(), 1);
    // Who enables it has decided: it is kept for as long again.
    assert_eq!(admin.patch(&unused.0, &json!({"enabled": true})).await.status, 200);
    assert_eq!(app.apply_key_policies().await, 0);
}

#[tokio::test]
async fn the_worker_reads_all_keys_and_only_those_of_organizations_with_a_policy() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    for tenant in [&tenant, &other] {
        for _ in 0..2 {
            let keys: Vec<Value> = (0..400).map(|n| json!({"name": format!("{n}"), "permissions": []})).collect();
            let made = tenant.admin.post(&format!("{}/bulk_create", tenant.keys()), &json!({"keys": keys})).await;
            assert_eq!(made.status, 200, "{}", made.text);
        }
    }
    set_policy(&tenant, json!({"disable_unused_after_days": 1})).await;
    app.clock.advance_seconds(DAY);
    // The administrator's key was used a moment ago by the clock's time, so this is what keeps it enabled.
    assert_eq!(tenant.admin.get("/me").await.status, 200);
    harness::wait_until("the use is stored", async || {
        let answer = tenant.admin.get(&format!("{}/{}", tenant.keys(), tenant.key_id)).await;
        let expected = in_days(&app, 0);
        if answer.json()["last_used_at"] == json!(expected) { Ok(()) } else { Err(answer.text) }
    })
    .await;
    assert_eq!(app.apply_key_policies().await, 800);
    let listed = other.admin.get(&format!("{}?enabled=false&limit=10", other.keys())).await.json();
    assert_eq!(listed, json!([]));
}

#[tokio::test]
async fn keys_of_deleted_organizations_are_left_alone() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    app.key(&tenant.org_id, KeySpec::with(&[])).await;
    set_policy(&tenant, json!({"disable_unused_after_days": 1})).await;
    let path = format!("{0}?confirm={1}", org(&tenant), tenant.org_id);
    assert_eq!(tenant.admin.delete(&path).await.status, 200);
    app.clock.advance_seconds(2 * DAY);
    assert_eq!(app.apply_key_policies().await, 0);
}
