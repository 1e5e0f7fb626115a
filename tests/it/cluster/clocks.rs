//! Nodes whose clock is wrong. On PostgreSQL the database's clock decides.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::clock::{Clock, Timestamp};
use harness::{CapturedLog, KeySpec, Tenant, TestApp, TestClock, TestDatabase};
use serde_json::{Value, json};

fn system_time() -> Timestamp {
    api::process::system::SystemClock.now()
}

/// A node whose clock is ahead.
async fn node_ahead(database: TestDatabase, seconds: i64) -> TestApp {
    let clock = Arc::new(TestClock::at(system_time().plus_millis(seconds * 1_000)));
    TestApp::start_by(database, clock, true, |_| {}).await
}

async fn ready(app: &TestApp) -> (u16, Value) {
    let answer = app.anyone().get("/health/ready").await;
    (answer.status, answer.json()["status"].clone())
}

async fn skew(app: &TestApp) -> f64 {
    let metrics = app.anyone().get("/metrics").await.text;
    let skew = metrics.lines().find_map(|line| line.strip_prefix("claviger_clock_skew_seconds "));
    skew.unwrap_or_else(|| panic!("{metrics}")).parse().expect("a number")
}

#[tokio::test]
async fn a_node_has_no_clock_skew_on_sqlite() {
    let app = TestApp::start_on(TestDatabase::sqlite(), |_| {}).await;
    assert_eq!((ready(&app).await.0, skew(&app).await), (200, 0.0));
}

#[tokio::test]
#[cfg_attr(not(feature = "postgres"), ignore = "needs PostgreSQL")]
async fn a_node_with_clock_skew_is_not_ready() {
    let app = node_ahead(TestDatabase::fresh().await, 300).await;
    let wrong = json!("the clock of this node differs from the database's by more than a minute");
    assert_eq!(ready(&app).await, (503, wrong.clone()));
    assert!((200.0..=300.0).contains(&skew(&app).await), "{}", skew(&app).await);
    app.clock.advance_seconds(-600);
    assert_eq!(ready(&app).await, (503, wrong));
    assert!((-500.0..=-300.0).contains(&skew(&app).await), "{}", skew(&app).await);
    app.clock.advance_seconds(system_time().millis().saturating_sub(app.clock.now().millis()) / 1_000);
    assert_eq!(ready(&app).await, (200, json!("ready")));
    assert!(skew(&app).await.abs() <= 60.0, "{}", skew(&app).await);
}

#[tokio::test]
#[cfg_attr(not(feature = "postgres"), ignore = "needs PostgreSQL")]
async fn clock_skew_is_logged_when_its_level_changes() {
    let log = CapturedLog::start();
    let counts = || {
        let count = |level, text| log.lines(level, text).len();
        let warnings = count("WARN", "the clock of this node differs from the database's; synchronize it");
        (warnings, count("ERROR", "the clock of this node differs from the database's by more than a minute"))
    };
    let app = node_ahead(TestDatabase::fresh().await, 300).await;
    for _ in 0..2 {
        assert_eq!(ready(&app).await.0, 503);
    }
    assert_eq!(counts(), (0, 1), "beyond a minute");
    let set_ahead = |seconds: i64| {
        let wanted = system_time().plus_millis(seconds * 1_000).millis();
        app.clock.advance_seconds((wanted - app.clock.now().millis()) / 1_000);
    };
    for _ in 0..2 {
        set_ahead(30);
        assert_eq!(ready(&app).await.0, 200);
    }
    assert_eq!(counts(), (1, 1), "beyond five seconds");
    set_ahead(300);
    assert_eq!((ready(&app).await.0, counts()), (503, (1, 2)));
}

/// A node with a correct clock and one whose clock is ahead, on one database.
async fn correct_and_ahead(seconds: i64) -> (TestApp, Tenant, TestApp) {
    let correct = node_ahead(TestDatabase::fresh().await, 0).await;
    let tenant = correct.tenant("Acme").await;
    let clock = Arc::new(TestClock::at(system_time().plus_millis(seconds * 1_000)));
    let ahead = TestApp::start_by(correct.database.shared(), clock, true, |_| {}).await;
    (correct, tenant, ahead)
}

const DAYS_500: i64 = 500 * 24 * 60 * 60;

#[tokio::test]
#[cfg_attr(not(feature = "postgres"), ignore = "needs PostgreSQL")]
async fn a_node_with_a_clock_ahead_does_not_expire_sessions_and_keys() {
    let (correct, tenant, ahead) = correct_and_ahead(DAYS_500).await;
    let opened = tenant.admin.post("/session", &json!({})).await;
    let cookie = opened.cookie().to_owned();
    let admin_there = ahead.caller(tenant.admin.bearer());
    assert_eq!(admin_there.post("/session", &json!({})).await.status, 200);
    let me = correct.anyone().with("cookie", &cookie).get("/me").await;
    assert_eq!(me.status, 200, "{}", me.text);
    let (id, _) = correct.key(&tenant.org_id, KeySpec { expires_in: Some(3_600), ..KeySpec::with(&[]) }).await;
    let deleted = admin_there.post("/api/auth/api-key/delete-all-expired-api-keys", &json!({})).await;
    assert_eq!((deleted.status, &deleted.json()["deleted"]), (200, &json!(0)), "{}", deleted.text);
    let key = format!("/orgs/{}/api_keys/{id}", tenant.org_id);
    assert_eq!(tenant.admin.get(&key).await.status, 200);
    // The retention period of a deleted key begins at the database's time, not at the node's.
    assert_eq!(admin_there.delete(&key).await.status, 200);
    let deleted = tenant.admin.get(&format!("/orgs/{}/api_keys?deleted=true", tenant.org_id)).await.json();
    let tomorrow = api::http::rfc3339::Rfc3339(system_time().plus_millis(24 * 60 * 60 * 1_000)).text();
    assert!(deleted[0]["deleted_at"].as_str().is_some_and(|at| at < tomorrow.as_str()), "{deleted}");
    let gone = admin_there.delete(&format!("/orgs/{0}?confirm={0}", tenant.org_id)).await;
    let later = api::http::rfc3339::Rfc3339(system_time().plus_millis(8 * 24 * 60 * 60 * 1_000)).text();
    let until = gone.json()["restorable_until"].clone();
    assert!(until.as_str().is_some_and(|until| until < later.as_str()), "{}", gone.text);
}

#[tokio::test]
#[cfg_attr(not(feature = "postgres"), ignore = "needs PostgreSQL")]
async fn a_node_with_a_clock_ahead_keeps_revoked_tokens_listed() {
    let (correct, tenant, ahead) = correct_and_ahead(DAYS_500).await;
    let token = json!({"audience": "a", "permissions": ["read"], "ttl_seconds": 900});
    let (id, key) = correct.key(&tenant.org_id, KeySpec::with(&["read"])).await;
    assert_eq!(correct.caller(&key).post("/tokens", &token).await.status, 200);
    assert_eq!(tenant.admin.delete(&format!("/orgs/{}/api_keys/{id}", tenant.org_id)).await.status, 200);
    assert_eq!(ahead.caller(tenant.admin.bearer()).post("/tokens", &token).await.status, 200);
    let list = correct.anyone().get("/.well-known/revoked").await;
    let claims = list.text.split('.').nth(1).unwrap_or_else(|| panic!("{}", list.text)).to_owned();
    let claims = URL_SAFE_NO_PAD.decode(claims).expect("base64url");
    let claims: Value = serde_json::from_slice(&claims).expect("JSON");
    assert_eq!(claims["revoked"].as_array().map(Vec::len), Some(1), "{claims}");
}

#[tokio::test]
#[cfg_attr(not(feature = "postgres"), ignore = "needs PostgreSQL")]
async fn a_node_with_a_clock_ahead_replays_idempotent_requests() {
    let (correct, tenant, ahead) = correct_and_ahead(13 * 60 * 60).await;
    let keys = format!("/orgs/{}/api_keys", tenant.org_id);
    let body = json!({"name": "once", "permissions": []});
    let first = tenant.admin.with("idempotency-key", "w").post(&keys, &body).await;
    assert_eq!(first.status, 200, "{}", first.text);
    let again = ahead.caller(tenant.admin.bearer()).with("idempotency-key", "w").post(&keys, &body).await;
    assert_eq!((again.status, &again.json()["id"]), (200, &first.json()["id"]), "{}", again.text);
    assert_eq!(again.header("idempotent-replayed"), "true");
    drop(correct);
}
