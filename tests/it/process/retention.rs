//! Retention: a wrong clock or a shortened setting does not purge data without a confirmation.

use std::{sync::Arc, time::Duration};

use domain::clock::Clock;
use harness::{KeySpec, Process, Tenant, TestApp, TestClock, TestDatabase, wait_until};
use persistence::{Hold, Kind, RetentionRun, Store};
use prometheus::{Registry, TextEncoder};
use serde_json::json;

use crate::{
    audit_log::events::{events, log_of},
    auth::tokens::token,
};

const DAY: i64 = 24 * 60 * 60 * 1_000;

/// An organization with data that retention purges: a deleted key, audit events, and a counted verification.
async fn create_purgeable_data(app: &TestApp) -> Tenant {
    let tenant = app.tenant("Acme").await;
    let (id, _) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    assert_eq!(tenant.admin.delete(&format!("/orgs/{}/api_keys/{id}", tenant.org_id)).await.status, 200);
    let verify = tenant.admin.post("/api_keys/verify", &json!({"key": tenant.admin.bearer()})).await;
    assert_eq!(verify.json()["code"], "VALID");
    wait_until("the counted verification", async || {
        let stored_counts = stored_counts(&tenant).await;
        (stored_counts.2 > 0).then_some(()).ok_or(stored_counts)
    })
    .await;
    tenant
}

/// The numbers of deleted keys, audit events, and counted verifications.
async fn stored_counts(tenant: &Tenant) -> (usize, usize, u64) {
    let deleted = tenant.admin.get(&format!("/orgs/{}/api_keys?deleted=true&limit=100", tenant.org_id)).await.json();
    let usage = tenant.admin.get(&format!("/orgs/{}/usage", tenant.org_id)).await.json();
    (
        deleted.as_array().expect("an array").len(),
        events(&tenant.admin, &log_of(tenant)).await.len(),
        usage["total"]["VALID"].as_u64().unwrap_or_else(|| panic!("{usage}")),
    )
}

fn held(run: &RetentionRun) -> Vec<Option<Hold>> {
    assert_eq!(run.purges.iter().map(|purge| purge.kind).collect::<Vec<_>>(), Kind::ALL);
    run.purges.iter().map(|purge| purge.held).collect()
}

fn purged(run: &RetentionRun) -> Vec<u64> {
    run.purges.iter().map(|purge| purge.purged).collect()
}

#[tokio::test]
async fn a_clock_500_days_ahead_purges_nothing() {
    for has_run_before in [true, false] {
        let app = TestApp::start().await;
        let tenant = create_purgeable_data(&app).await;
        let before = stored_counts(&tenant).await;
        if has_run_before {
            let store = app.database.store().await;
            let run = store.purge(app.clock.now(), None, false).await.expect("it runs");
            assert_eq!((held(&run), purged(&run)), (vec![None; 4], vec![0; 4]));
            store.close().await;
        }
        let registry = Registry::new();
        let mut settings = app.database.settings();
        settings.registry = registry.clone();
        settings.clock = Arc::new(TestClock::at(app.clock.now().plus_millis(500 * DAY)));
        let ahead = Store::connect(&settings).await.expect("a database connection");
        let run = ahead.run_retention_now(None, false).await.expect("it runs");
        assert_eq!((purged(&run), stored_counts(&tenant).await), (vec![0; 4], before), "{run:?}");
        if !app.database.is_postgres() {
            let unusual = Some(Hold::UnusualShare);
            assert_eq!(held(&run), [unusual, unusual, unusual, None], "no organization is deleted: {run:?}");
            let metrics = TextEncoder::new().encode_to_string(&registry.gather()).expect("text");
            assert!(metrics.contains("claviger_retention_held{kind=\"audit_events\"} 1"), "{metrics}");
            // The clock is correct again.
            let store = app.database.store().await;
            let run = store.purge(app.clock.now(), None, false).await.expect("it runs");
            assert_eq!(held(&run), [None; 4]);
            store.close().await;
            // An operator confirms that the clock is correct.
            let run = ahead.run_retention_now(None, true).await.expect("it runs");
            assert_eq!((held(&run), stored_counts(&tenant).await), (vec![None; 4], (0, 0, 0)), "{run:?}");
        }
        ahead.close().await;
    }
}

#[tokio::test]
async fn a_clock_31_days_ahead_holds_the_whole_purge() {
    let app = TestApp::start().await;
    let old = create_purgeable_data(&app).await;
    let events_before = stored_counts(&old).await.1;
    let store = app.database.store().await;
    app.clock.advance_seconds(398 * DAY / 1_000);
    let new = app.tenant("New").await;
    assert_eq!(new.admin.delete(&format!("/orgs/{}/api_keys/{}", new.org_id, new.key_id)).await.status, 200);
    store.purge(app.clock.now(), None, true).await.expect("it runs");
    // Purging the deleted key would be unusual, so the events are held as well.
    let run = store.purge(app.clock.now().plus_millis(31 * DAY), None, false).await.expect("it runs");
    assert_eq!(held(&run), [Some(Hold::UnusualShare), Some(Hold::UnusualShare), None, None], "{run:?}");
    assert_eq!((purged(&run), events(&old.admin, &log_of(&old)).await.len()), (vec![0; 4], events_before));
    store.close().await;
}

#[tokio::test]
async fn regular_purges_are_never_held() {
    let app = TestApp::start().await;
    let tenant = create_purgeable_data(&app).await;
    let store = app.database.store().await;
    let mut now = app.clock.now();
    for _ in 0..2 * 401 {
        let run = store.purge(now, None, false).await.expect("it runs");
        assert_eq!(held(&run), [None; 4], "{run:?}");
        now = now.plus_millis(DAY / 2);
    }
    assert_eq!(stored_counts(&tenant).await, (0, 0, 0), "everything was purged");
    store.close().await;
}

#[tokio::test]
async fn a_purge_after_three_days_offline_is_not_held() {
    let app = TestApp::start().await;
    let tenant = create_purgeable_data(&app).await;
    let store = app.database.store().await;
    let (start, month) = (app.clock.now(), 30 * DAY);
    store.purge(start.plus_millis(month - 3 * DAY), None, false).await.expect("it runs");
    let run = store.purge(start.plus_millis(month), None, false).await.expect("it runs");
    assert_eq!(
        (held(&run), stored_counts(&tenant).await.0),
        (vec![None; 4], 0),
        "three days since the last run are not held: {run:?}"
    );
    store.close().await;
}

#[tokio::test]
async fn a_purge_by_a_shortened_retention_is_held_until_confirmed() {
    let app = TestApp::start().await;
    let tenant = create_purgeable_data(&app).await;
    let before = stored_counts(&tenant).await;
    let now = app.clock.now().plus_millis(2 * DAY);
    let store = app.database.store().await;
    store.purge(now, None, false).await.expect("it runs");
    store.close().await;
    let mut settings = app.database.settings();
    settings.retention.audit = Duration::from_hours(24);
    let shorter = Store::connect(&settings).await.expect("a database connection");
    let run = shorter.purge(now, None, false).await.expect("it runs");
    assert_eq!(held(&run), [None, Some(Hold::UnusualShare), None, None], "{run:?}");
    assert_eq!((run.purges[1].due, run.purges[1].all), (before.1 as u64, before.1 as u64));
    assert_eq!(stored_counts(&tenant).await, before);
    let run = shorter.purge(now, None, true).await.expect("it runs");
    assert_eq!((run.purges[1].purged, stored_counts(&tenant).await.1), (before.1 as u64, 0));
    let later = now.plus_millis(DAY / 2);
    assert_eq!(held(&shorter.purge(later, None, false).await.expect("it runs")), [None; 4], "it was confirmed");
    shorter.close().await;
}

#[tokio::test]
async fn the_retention_command_shows_and_confirms_a_held_purge() {
    // Three days ago, by the real clock.
    let clock = Arc::new(TestClock::at(api::process::system::SystemClock.now().plus_millis(-3 * DAY)));
    let app = TestApp::start_by(TestDatabase::fresh().await, clock, false, |_| {}).await;
    let tenant = create_purgeable_data(&app).await;
    app.sign_checkpoints().await;
    let events = stored_counts(&tenant).await.1;
    let signing = harness::signing_key().to_str().expect("text");
    let run = |arguments: &[&str], kept: &str| {
        let settings = [
            ("CLAVIGER_DATABASE_URL", app.database.url()),
            ("CLAVIGER_SIGNING_KEY_FILE", signing),
            ("CLAVIGER_AUDIT_KEPT", kept),
            ("CLAVIGER_DELETED_KEYS_KEPT", "3650days"),
            ("CLAVIGER_USAGE_KEPT", "3650days"),
        ];
        let output = Process::run(arguments, &settings);
        (output.status.code(), String::from_utf8(output.stdout).expect("text"))
    };
    let (code, usual) = run(&["retention", "run"], "3650days");
    assert_eq!(code, Some(0), "{usual}");
    assert!(usual.contains("audit events before 20") && usual.contains(": 0 purged"), "{usual}");
    let (code, shown) = run(&["retention", "run"], "1h");
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains(&format!("HELD: {events} of {events} would be purged at once")), "{shown}");
    assert_eq!(stored_counts(&tenant).await.1, events, "events are listed, not purged");
    let (code, forced) = run(&["retention", "run", "--force"], "1h");
    assert_eq!((code, stored_counts(&tenant).await.1), (Some(0), 0), "{forced}");
    assert!(forced.contains(&format!(": {events} purged")), "{forced}");
    let (code, verified) = run(&["audit", "verify"], "1h");
    assert!(code == Some(0) && verified.contains("were pruned by retention"), "signed: {verified}");
}

#[tokio::test]
async fn a_clock_ahead_removes_no_revocation_of_tokens_that_are_valid() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (id, secret) = app.key(&tenant.org_id, KeySpec::with(&["files:*"])).await;
    token(&app.caller(&secret), &json!({"audience": "a", "ttl_seconds": 900})).await;
    assert_eq!(tenant.admin.delete(&format!("/orgs/{}/api_keys/{id}", tenant.org_id)).await.status, 200);
    let store = app.database.store().await;
    for hours in [2, 500 * 24] {
        store.purge(app.clock.now().plus_millis(hours * DAY / 24), None, false).await.expect("it runs");
        assert_eq!(app.database.stored_families_and_deleted_keys().await.0, 1, "{hours} hours ahead");
    }
    // An operator confirms that the clock is correct.
    store.purge(app.clock.now().plus_millis(DAY / 12), None, true).await.expect("it runs");
    assert_eq!(app.database.stored_families_and_deleted_keys().await.0, 0);
    store.close().await;
}
