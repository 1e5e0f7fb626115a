//! Limits after the clock was wrong, and after a change of their settings.

use std::time::Instant;

use domain::{
    clock::Clock,
    keys::quota::{Quota, RateLimit, Refill},
};
use harness::{Answer, Caller, KeySpec, Process, RowLock, Tenant, TestApp, wait_until};
use serde_json::{Value, json};

const YEAR: i64 = 365 * 24 * 60 * 60;

async fn verify(admin: &Caller, key: &str) -> Answer {
    admin.post("/api_keys/verify", &json!({"key": key})).await
}

async fn explain(admin: &Caller, key: &str) -> Value {
    admin.post("/api_keys/verify?explain=true", &json!({"key": key})).await.json()
}

async fn change(tenant: &Tenant, id: &str, patch: Value) -> Value {
    let answer = tenant.admin.patch(&format!("/orgs/{}/api_keys/{id}", tenant.org_id), &patch).await;
    assert_eq!(answer.status, 200, "{patch}: {}", answer.text);
    answer.json()
}

fn limited(max: u64, window: u64) -> KeySpec {
    let quota = Quota { rate_limit: Some(RateLimit { max, window }), ..Quota::default() };
    KeySpec { quota, ..KeySpec::with(&[]) }
}

#[tokio::test]
async fn a_rate_limit_works_after_the_clock_was_ahead() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (_, key) = app.key(&tenant.org_id, limited(2, 60_000)).await;
    // First from the cached state of the ledger, then from the database.
    for forgets in [false, true] {
        app.clock.advance_seconds(YEAR);
        assert_eq!(verify(&tenant.admin, &key).await.json()["code"], "VALID");
        app.clock.advance_seconds(-YEAR);
        if forgets {
            app.start_windows_in(YEAR).await;
        }
        let explained = explain(&tenant.admin, &key).await;
        assert_eq!(explained["rate_limit"], json!({"limit": 2, "remaining": 2, "reset": 60}), "{explained}");
        for left in [1, 0] {
            let answer = verify(&tenant.admin, &key).await.json();
            assert_eq!(answer["rate_limit"], json!({"limit": 2, "remaining": left, "reset": 60}), "{answer}");
        }
        let refused = verify(&tenant.admin, &key).await.json();
        assert_eq!((&refused["code"], &refused["rate_limit"]["reset"]), (&json!("RATE_LIMITED"), &json!(60)));
        assert_eq!(explain(&tenant.admin, &key).await["rate_limit"], refused["rate_limit"]);
        let body = tenant.admin.post("/api/auth/api-key/verify", &json!({"key": key})).await.json();
        assert_eq!(body["error"]["details"]["tryAgainIn"], 60_000);
        app.clock.advance_seconds(60);
    }
}

#[tokio::test]
async fn a_clock_set_back_within_a_window_keeps_the_window() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (_, key) = app.key(&tenant.org_id, limited(1, 60_000)).await;
    assert_eq!(verify(&tenant.admin, &key).await.json()["code"], "VALID");
    app.clock.advance_seconds(-30);
    for _ in 0..2 {
        let refused = verify(&tenant.admin, &key).await.json();
        assert_eq!((&refused["code"], &refused["rate_limit"]["reset"]), (&json!("RATE_LIMITED"), &json!(90)));
        assert_eq!(explain(&tenant.admin, &key).await["rate_limit"], refused["rate_limit"]);
    }
    app.clock.advance_seconds(90);
    assert_eq!(verify(&tenant.admin, &key).await.json()["code"], "VALID", "the window ended at the announced time");
}

#[tokio::test]
async fn a_refill_works_after_the_clock_was_ahead() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let refill = Some(Refill { amount: 2, interval: 60_000, since: app.clock.now() });
    let quota = Quota { remaining: Some(1), refill, ..Quota::default() };
    let (_, key) = app.key(&tenant.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
    app.clock.advance_seconds(YEAR);
    assert_eq!(verify(&tenant.admin, &key).await.json()["remaining"], 1, "refilled");
    app.clock.advance_seconds(-YEAR + 60);
    for left in [1, 0] {
        assert_eq!(verify(&tenant.admin, &key).await.json()["remaining"], left, "refilled again");
    }
    app.clock.advance_seconds(59);
    assert_eq!(verify(&tenant.admin, &key).await.json()["code"], "USAGE_EXCEEDED", "one refill per interval");
    assert_eq!(explain(&tenant.admin, &key).await["remaining"], 0);
    app.clock.advance_seconds(1);
    assert_eq!(verify(&tenant.admin, &key).await.json()["remaining"], 1);
}

#[tokio::test]
async fn limits_work_with_the_real_clock_after_a_future_window() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let day = 24 * 60 * 60 * 1_000;
    let (_, key) = app.key(&tenant.org_id, limited(2, day)).await;
    let (_, database) = app.stop().await;
    // On PostgreSQL the server's clock counts.
    let process = Process::serve(&[("CLAVIGER_DATABASE_URL", database.url())]);
    let admin = process.anyone().with_bearer(tenant.admin.bearer());
    assert_eq!(verify(&admin, &key).await.json()["rate_limit"]["remaining"], 1);
    let now = api::process::system::SystemClock.now().millis();
    database.start_windows_at(now + 30 * i64::try_from(day).expect("small")).await;
    for left in [1, 0] {
        assert_eq!(verify(&admin, &key).await.json()["rate_limit"]["remaining"], left);
    }
    assert_eq!(verify(&admin, &key).await.json()["code"], "RATE_LIMITED");
}

#[tokio::test]
#[cfg_attr(not(feature = "postgres"), ignore = "needs PostgreSQL")]
async fn a_use_that_waited_beyond_its_window_counts_in_the_next() {
    const WINDOW: u64 = 1_000;
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let settings = [("CLAVIGER_DATABASE_URL", app.database.url())];
    let nodes = [Process::serve(&settings), Process::serve(&settings)];
    let [first, second] = nodes.each_ref().map(|node| node.anyone().with_bearer(tenant.admin.bearer()));
    // The first node writes by the state that it knows. The second one locks the row and reads it.
    for node in [&first, &second] {
        let (id, key) = app.key(&tenant.org_id, limited(5, WINDOW)).await;
        assert_eq!(verify(&first, &key).await.json()["rate_limit"]["remaining"], 4);
        let begun = Instant::now();
        let lock = RowLock::of(&app.database, &id).await;
        let release = async {
            lock.wait_for_waiter().await;
            let is_over = async || {
                // It also keeps the attempts from being a busy loop.
                let _ = first.get("/health/live").await;
                (begun.elapsed().as_millis() > u128::from(WINDOW)).then_some(()).ok_or("it runs")
            };
            wait_until("the end of the window", is_over).await;
            drop(lock);
        };
        let (answer, ()) = tokio::join!(verify(node, &key), release);
        assert_eq!(answer.json()["rate_limit"]["remaining"], 4, "{}", answer.text);
    }
}

#[tokio::test]
async fn a_changed_rate_limit_begins_a_new_window() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (id, key) = app.key(&tenant.org_id, limited(1, 60_000)).await;
    let remaining = async || verify(&tenant.admin, &key).await.json()["rate_limit"]["remaining"].clone();
    let is_refused = async || verify(&tenant.admin, &key).await.json()["code"] == "RATE_LIMITED";
    assert_eq!(remaining().await, 0);
    change(&tenant, &id, json!({"name": "m"})).await;
    assert!(is_refused().await, "another name");
    change(&tenant, &id, json!({"rate_limit_max": 1, "rate_limit_window": 60_000})).await;
    assert!(is_refused().await, "the same limit");
    change(&tenant, &id, json!({"rate_limit_max": 2, "rate_limit_window": 60_000})).await;
    assert_eq!((remaining().await, remaining().await), (json!(1), json!(0)), "another maximum");
    assert!(is_refused().await);
    change(&tenant, &id, json!({"rate_limit_max": 2, "rate_limit_window": 3_600_000})).await;
    assert_eq!(remaining().await, 1, "another window");
    change(&tenant, &id, json!({"rate_limit_max": null, "rate_limit_window": null})).await;
    change(&tenant, &id, json!({"rate_limit_max": 2, "rate_limit_window": 3_600_000})).await;
    assert_eq!((remaining().await, remaining().await), (json!(1), json!(0)), "cleared and set again");
    let update = json!({"keyId": id, "rateLimitMax": 3});
    assert_eq!(tenant.admin.post("/api/auth/api-key/update", &update).await.status, 200);
    assert_eq!(remaining().await, 2, "by the other contract");
}

#[tokio::test]
async fn a_changed_refill_interval_begins_again() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let quota = Quota { remaining: Some(0), ..Quota::default() };
    let (id, key) = app.key(&tenant.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
    let is_refused = async || verify(&tenant.admin, &key).await.json()["code"] == "USAGE_EXCEEDED";
    let remaining = async || verify(&tenant.admin, &key).await.json()["remaining"].clone();
    change(&tenant, &id, json!({"refill_amount": 5, "refill_interval": 60_000})).await;
    app.clock.advance_seconds(59);
    assert!(is_refused().await);
    // Another amount does not change the interval.
    change(&tenant, &id, json!({"refill_amount": 7, "refill_interval": 60_000})).await;
    app.clock.advance_seconds(1);
    assert_eq!(remaining().await, 6);
    // A refill in the near future delays the next one. A new interval ignores it.
    app.start_windows_in(50).await;
    let changed = change(&tenant, &id, json!({"remaining": 0, "refill_amount": 7, "refill_interval": 30_000})).await;
    assert_eq!(changed["last_refill_at"], Value::Null);
    app.clock.advance_seconds(29);
    assert!(is_refused().await);
    app.clock.advance_seconds(1);
    assert_eq!(remaining().await, 6);
    app.start_windows_in(25).await;
    change(&tenant, &id, json!({"refill_amount": null, "refill_interval": null})).await;
    change(&tenant, &id, json!({"remaining": 0, "refill_amount": 7, "refill_interval": 30_000})).await;
    app.clock.advance_seconds(30);
    assert_eq!(remaining().await, 6, "cleared and set again");
}
