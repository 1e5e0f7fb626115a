//! A node whose clock is wrong: on PostgreSQL the database's decides.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::clock::{Clock, Timestamp};
use harness::{KeySpec, Tenant, TestApp, TestClock, TestDatabase};
use serde_json::{Value, json};

fn real() -> Timestamp {
    api::system::SystemClock.now()
}

/// A node whose clock is so many seconds ahead. `None`: on SQLite there is no other clock.
async fn node_ahead(database: TestDatabase, seconds: i64) -> Option<TestApp> {
    if !database.is_postgres() {
        return None;
    }
    let clock = Arc::new(TestClock::at(real().plus_millis(seconds * 1_000)));
    Some(TestApp::start_by(database, clock, true, |_| {}).await)
}

async fn ready(app: &TestApp) -> (u16, Value) {
    let answer = app.anyone().get("/health/ready").await;
    (answer.status, answer.json()["status"].clone())
}

async fn skew(app: &TestApp) -> f64 {
    let figures = app.anyone().get("/metrics").await.text;
    let skew = figures.lines().find_map(|line| line.strip_prefix("claviger_clock_skew_seconds "));
    skew.unwrap_or_else(|| panic!("{figures}")).parse().expect("a number")
}

#[tokio::test]
async fn a_node_whose_clock_is_far_off_is_not_ready_until_it_is_right() {
    let Some(app) = node_ahead(TestDatabase::fresh().await, 300).await else {
        let app = TestApp::start().await;
        assert_eq!((ready(&app).await.0, skew(&app).await), (200, 0.0));
        return;
    };
    let wrong = json!("the clock of this node differs from the database's by more than a minute");
    assert_eq!(ready(&app).await, (503, wrong.clone()));
    assert!((200.0..=300.0).contains(&skew(&app).await), "{}", skew(&app).await);
    app.clock.advance_seconds(-600);
    assert_eq!(ready(&app).await, (503, wrong));
    assert!((-500.0..=-300.0).contains(&skew(&app).await), "{}", skew(&app).await);
    app.clock.advance_seconds(real().millis().saturating_sub(app.clock.now().millis()) / 1_000);
    assert_eq!(ready(&app).await, (200, json!("ready")));
    assert!(skew(&app).await.abs() <= 60.0, "{}", skew(&app).await);
}

/// A right node and one that is ahead, on one database.
async fn right_and_ahead(seconds: i64) -> Option<(TestApp, Tenant, TestApp)> {
    let right = node_ahead(TestDatabase::fresh().await, 0).await?;
    let tenant = right.tenant("Acme").await;
    let clock = Arc::new(TestClock::at(real().plus_millis(seconds * 1_000)));
    let ahead = TestApp::start_by(right.database.shared(), clock, true, |_| {}).await;
    Some((right, tenant, ahead))
}

const DAYS_500: i64 = 500 * 24 * 60 * 60;

#[tokio::test]
async fn a_node_that_is_ahead_ends_no_session_and_deletes_no_key_of_others() {
    let Some((right, tenant, ahead)) = right_and_ahead(DAYS_500).await else { return };
    let opened = tenant.admin.post("/session", &json!({})).await;
    let cookie = opened.cookie().to_owned();
    let admin_there = ahead.caller(tenant.admin.bearer());
    assert_eq!(admin_there.post("/session", &json!({})).await.status, 200);
    let me = right.anyone().with("cookie", &cookie).get("/me").await;
    assert_eq!(me.status, 200, "{}", me.text);
    let (id, _) = right.key(&tenant.org_id, KeySpec { expires_in: Some(3_600), ..KeySpec::with(&[]) }).await;
    let deleted = admin_there.post("/api/auth/api-key/delete-all-expired-api-keys", &json!({})).await;
    assert_eq!((deleted.status, &deleted.json()["deleted"]), (200, &json!(0)), "{}", deleted.text);
    let key = format!("/orgs/{}/api_keys/{id}", tenant.org_id);
    assert_eq!(tenant.admin.get(&key).await.status, 200);
    // What it does delete is kept from now on, by the database's time.
    assert_eq!(admin_there.delete(&key).await.status, 200);
    let deleted = tenant.admin.get(&format!("/orgs/{}/api_keys?deleted=true", tenant.org_id)).await.json();
    let tomorrow = api::time::Moment(real().plus_millis(24 * 60 * 60 * 1_000)).text();
    assert!(deleted[0]["deleted_at"].as_str().is_some_and(|at| at < tomorrow.as_str()), "{deleted}");
}

#[tokio::test]
async fn a_node_that_is_ahead_forgets_no_revoked_token() {
    let Some((right, tenant, ahead)) = right_and_ahead(DAYS_500).await else { return };
    let token = json!({"audience": "a", "permissions": ["read"], "ttl_seconds": 900});
    let (id, key) = right.key(&tenant.org_id, KeySpec::with(&["read"])).await;
    assert_eq!(right.caller(&key).post("/tokens", &token).await.status, 200);
    assert_eq!(tenant.admin.delete(&format!("/orgs/{}/api_keys/{id}", tenant.org_id)).await.status, 200);
    assert_eq!(ahead.caller(tenant.admin.bearer()).post("/tokens", &token).await.status, 200);
    let list = right.anyone().get("/.well-known/revoked").await;
    let claims = list.text.split('.').nth(1).unwrap_or_else(|| panic!("{}", list.text)).to_owned();
    let claims = URL_SAFE_NO_PAD.decode(claims).expect("base64url");
    let claims: Value = serde_json::from_slice(&claims).expect("JSON");
    assert_eq!(claims["revoked"].as_array().map(Vec::len), Some(1), "{claims}");
}

#[tokio::test]
async fn a_node_that_is_ahead_repeats_no_request() {
    let Some((right, tenant, ahead)) = right_and_ahead(13 * 60 * 60).await else { return };
    let keys = format!("/orgs/{}/api_keys", tenant.org_id);
    let body = json!({"name": "once", "permissions": []});
    let first = tenant.admin.with("idempotency-key", "w").post(&keys, &body).await;
    assert_eq!(first.status, 200, "{}", first.text);
    let again = ahead.caller(tenant.admin.bearer()).with("idempotency-key", "w").post(&keys, &body).await;
    assert_eq!((again.status, &again.json()["id"]), (200, &first.json()["id"]), "{}", again.text);
    assert_eq!(again.header("idempotent-replayed"), "true");
    drop(right);
}
