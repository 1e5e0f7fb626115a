//! Results of verification: the order of the deny reasons, visible keys, and counted uses.

use domain::{
    clock::{Clock, Timestamp},
    keys::quota::{Quota, RateLimit, Refill},
};
use harness::{Caller, KeySpec, TestApp};
use serde_json::{Value, json};

async fn verify(caller: &Caller, key: &str, permissions: Value) -> Value {
    let body = json!({"key": key, "permissions": permissions});
    let answer = caller.post("/api/auth/api-key/verify", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

async fn code(caller: &Caller, key: &str) -> String {
    let verdict = verify(caller, key, json!({})).await;
    assert_eq!(verdict["valid"].as_bool(), Some(verdict["error"].is_null()));
    assert_eq!(verdict["key"].is_null(), !verdict["error"].is_null());
    verdict["error"]["code"].as_str().unwrap_or("VALID").to_owned()
}

/// The deny reasons, in their order.
const REASONS: [&str; 5] =
    ["KEY_DISABLED", "KEY_EXPIRED", "INSUFFICIENT_PERMISSIONS", "USAGE_EXCEEDED", "RATE_LIMITED"];

fn with_reasons(now: Timestamp, reasons: &[&str]) -> KeySpec {
    let has = |reason| reasons.contains(&reason);
    let rate_limit = RateLimit { max: 1, window: 60_000 };
    KeySpec {
        enabled: !has("KEY_DISABLED"),
        expires_in: has("KEY_EXPIRED").then_some(-1),
        quota: Quota {
            remaining: Some(if has("USAGE_EXCEEDED") { 0 } else { 5 }),
            rate_limit: Some(rate_limit),
            window_start: Some(now),
            window_count: u64::from(has("RATE_LIMITED")),
            ..Quota::default()
        },
        ..KeySpec::with(if has("INSUFFICIENT_PERMISSIONS") { &["files:write"] } else { &["files:read"] })
    }
}

#[tokio::test]
async fn the_first_of_two_deny_reasons_is_returned_and_no_use_is_counted() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let now = app.clock.now();
    for (n, first) in REASONS.iter().enumerate() {
        for second in &REASONS[n..] {
            let (id, key) = app.key(&tenant.org_id, with_reasons(now, &[first, second])).await;
            let before = app.counts(&id).await;
            let verdict = verify(&tenant.admin, &key, json!({"files": ["read"]})).await;
            assert_eq!(verdict["error"]["code"], *first, "{first} and {second}");
            assert_eq!(app.counts(&id).await, before, "{first} and {second}");
        }
    }
    let (id, key) = app.key(&tenant.org_id, with_reasons(now, &[])).await;
    let verdict = verify(&tenant.admin, &key, json!({"files": ["read"]})).await;
    assert_eq!(verdict["valid"], true);
    assert_eq!(app.counts(&id).await, (Some(4), 1, 1));
}

#[tokio::test]
async fn all_requested_permissions_must_be_held() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let spec =
        KeySpec { user_id: Some(tenant.user_id.clone()), ..KeySpec::with(&["files:read", "files:write", "docs:*"]) };
    let (_, key) = app.key(&tenant.org_id, spec).await;
    for (asked, valid) in [
        (json!({}), true),
        (json!({"files": []}), true),
        (json!({"files": ["read"]}), true),
        (json!({"files": ["read", "write"], "docs": ["anything"]}), true),
        (json!({"files": ["delete"]}), false),
        (json!({"files": ["read"], "other": ["read"]}), false),
        (json!({"files": ["*"]}), false),
        (json!({"*": ["read"]}), false),
    ] {
        assert_eq!(verify(&tenant.admin, &key, asked.clone()).await["valid"], valid, "{asked}");
    }
    app.change_memberships("files:read api_keys:*").await;
    assert_eq!(
        verify(&tenant.admin, &key, json!({"files": ["write"]})).await["valid"],
        false,
        "its user does not have the permission"
    );
    assert_eq!(verify(&tenant.admin, &key, json!({"files": ["read"]})).await["valid"], true);
    app.end_memberships().await;
    let (_, checker) = app.key(&tenant.org_id, KeySpec::with(&["api_keys:verify"])).await;
    assert_eq!(code(&app.caller(&checker), &key).await, "KEY_DISABLED", "its user is not a member any more");
}

#[tokio::test]
async fn keys_of_other_organizations_are_unknown_except_to_the_platform() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let (id, key) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    let unknown = verify(&other.admin, "cvg_nonsense", json!({})).await;
    assert_eq!(verify(&other.admin, &key, json!({})).await, unknown);
    assert_eq!(code(&tenant.admin, &key).await, "VALID");
    let platform = app.platform().await;
    let seen = verify(&platform, &key, json!({})).await;
    assert_eq!((&seen["key"]["id"], &seen["key"]["org_id"]), (&json!(id), &json!(tenant.org_id)));
    let own_keys = platform.get("/api/auth/api-key/list").await.json();
    assert_eq!(own_keys.as_array().map(Vec::len), Some(1), "its other operations use its own organization");
    let (expired, key) = app.key(&tenant.org_id, KeySpec { expires_in: Some(-1), ..KeySpec::with(&[]) }).await;
    for _ in 0..2 {
        assert_eq!(code(&tenant.admin, &key).await, "KEY_EXPIRED", "verification deletes nothing");
    }
    assert_eq!(tenant.admin.get(&format!("/api/auth/api-key/get?id={expired}")).await.status, 200);
}

#[tokio::test]
async fn uses_refills_and_rate_limit_windows_over_time() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let now = app.clock.now();
    let quota = Quota {
        remaining: Some(2),
        refill: Some(Refill { amount: 3, interval: 60_000, since: now }),
        ..Quota::default()
    };
    let (_, key) = app.key(&tenant.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
    let uses = async |count: usize| {
        let mut codes = Vec::new();
        for _ in 0..count {
            codes.push(code(&tenant.admin, &key).await);
        }
        codes.iter().filter(|code| *code == "VALID").count()
    };
    assert_eq!(uses(4).await, 2);
    app.clock.advance_seconds(59);
    assert_eq!(uses(1).await, 0);
    app.clock.advance_seconds(1);
    assert_eq!(uses(5).await, 3, "a refill sets the remaining uses");
    app.clock.advance_seconds(600);
    assert_eq!(uses(5).await, 3, "missed intervals are not added");

    let quota = Quota { rate_limit: Some(RateLimit { max: 2, window: 10_000 }), ..Quota::default() };
    let (id, key) = app.key(&tenant.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
    assert_eq!(code(&tenant.admin, &key).await, "VALID");
    app.clock.advance_seconds(4);
    assert_eq!(code(&tenant.admin, &key).await, "VALID");
    let limited = verify(&tenant.admin, &key, json!({})).await;
    let error = json!({"message": "Rate limit exceeded.", "code": "RATE_LIMITED", "details": {"tryAgainIn": 6_000}});
    assert_eq!(limited["error"], error);
    app.clock.advance_seconds(6);
    assert_eq!(code(&tenant.admin, &key).await, "VALID", "the window ended");
    assert_eq!(app.counts(&id).await, (None, 1, 3));
}

#[tokio::test]
async fn uses_of_unmetered_keys_are_counted() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (id, key) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    for _ in 0..5 {
        assert_eq!(code(&tenant.admin, &key).await, "VALID");
    }
    app.clock.advance_seconds(3);
    assert_eq!(app.caller(&key).get("/auth/check-key").await.status, 200);
    let (_, database) = app.stop().await;
    let app = TestApp::start_on(database, |_| {}).await;
    assert_eq!(app.counts(&id).await, (None, 0, 5), "authentication is not counted as a verification");
    let admin = app.caller(tenant.admin.bearer());
    let listed = admin.get(&format!("/orgs/{}/api_keys", tenant.org_id)).await.json();
    let key = listed.as_array().expect("keys").iter().find(|key| key["id"] == id.as_str()).expect("the key");
    assert_eq!((&key["request_count"], &key["last_used_at"]), (&json!(5), &json!("2026-11-21T08:00:03.250Z")));
}
