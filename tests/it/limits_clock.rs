//! Limits after a clock that was wrong, and after their rule was changed.

use domain::{
    clock::Clock,
    quota::{Quota, RateLimit, Refill},
};
use harness::{Answer, Caller, KeySpec, Process, Tenant, TestApp};
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
async fn a_clock_that_was_ahead_blocks_no_rate_limit() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (_, key) = app.key(&tenant.org_id, limited(2, 60_000)).await;
    // Counted a moment ago, so that the ledger knows the key; then read anew from its row.
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
        let words = tenant.admin.post("/api/auth/api-key/verify", &json!({"key": key})).await.json();
        assert_eq!(words["error"]["details"]["tryAgainIn"], 60_000);
        app.clock.advance_seconds(60);
    }
}

#[tokio::test]
async fn a_clock_that_goes_back_within_a_window_opens_none_and_tells_when_it_ends() {
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
    assert_eq!(verify(&tenant.admin, &key).await.json()["code"], "VALID", "it ended when it was said to");
}

#[tokio::test]
async fn a_clock_that_was_ahead_blocks_no_refill() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let refill = Some(Refill { amount: 2, interval: 60_000, since: app.clock.now() });
    let quota = Quota { remaining: Some(1), refill, ..Quota::default() };
    let (_, key) = app.key(&tenant.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
    app.clock.advance_seconds(YEAR);
    assert_eq!(verify(&tenant.admin, &key).await.json()["remaining"], 1, "refilled");
    app.clock.advance_seconds(-YEAR + 60);
    for left in [1, 0] {
        assert_eq!(verify(&tenant.admin, &key).await.json()["remaining"], left, "refilled once more");
    }
    app.clock.advance_seconds(59);
    assert_eq!(verify(&tenant.admin, &key).await.json()["code"], "USAGE_EXCEEDED", "one refill in an interval");
    assert_eq!(explain(&tenant.admin, &key).await["remaining"], 0);
    app.clock.advance_seconds(1);
    assert_eq!(verify(&tenant.admin, &key).await.json()["remaining"], 1);
}

#[tokio::test]
async fn the_real_clock_is_not_blocked_either() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let day = 24 * 60 * 60 * 1_000;
    let (_, key) = app.key(&tenant.org_id, limited(2, day)).await;
    let (_, database) = app.stop().await;
    // On PostgreSQL limits go by the server's clock now.
    let process = Process::serve(&[("CLAVIGER_DATABASE_URL", database.url())]);
    let admin = Caller::anyone(format!("http://{}", process.address)).with_bearer(tenant.admin.bearer());
    assert_eq!(verify(&admin, &key).await.json()["rate_limit"]["remaining"], 1);
    let now = api::system::SystemClock.now().millis();
    database.start_windows_at(now + 30 * i64::try_from(day).expect("small")).await;
    for left in [1, 0] {
        assert_eq!(verify(&admin, &key).await.json()["rate_limit"]["remaining"], left);
    }
    assert_eq!(verify(&admin, &key).await.json()["code"], "RATE_LIMITED");
}

#[tokio::test]
async fn another_rule_begins_a_new_window_and_the_same_rule_does_not() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (id, key) = app.key(&tenant.org_id, limited(1, 60_000)).await;
    let remaining = async || verify(&tenant.admin, &key).await.json()["rate_limit"]["remaining"].clone();
    let is_refused = async || verify(&tenant.admin, &key).await.json()["code"] == "RATE_LIMITED";
    assert_eq!(remaining().await, 0);
    change(&tenant, &id, json!({"name": "m"})).await;
    assert!(is_refused().await, "another name");
    change(&tenant, &id, json!({"rate_limit_max": 1, "rate_limit_window": 60_000})).await;
    assert!(is_refused().await, "the same rule");
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
async fn a_refill_that_is_set_anew_begins_its_interval_anew() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let quota = Quota { remaining: Some(0), ..Quota::default() };
    let (id, key) = app.key(&tenant.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
    let is_refused = async || verify(&tenant.admin, &key).await.json()["code"] == "USAGE_EXCEEDED";
    let remaining = async || verify(&tenant.admin, &key).await.json()["remaining"].clone();
    change(&tenant, &id, json!({"refill_amount": 5, "refill_interval": 60_000})).await;
    app.clock.advance_seconds(59);
    assert!(is_refused().await);
    // Another amount leaves the interval as it is.
    change(&tenant, &id, json!({"refill_amount": 7, "refill_interval": 60_000})).await;
    app.clock.advance_seconds(1);
    assert_eq!(remaining().await, 6);
    // A refill a little ahead would delay the next one by as much; a new interval does not know of it.
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
