//! What a clock that is wrong, or a shortened setting, does not remove unasked.

use std::{sync::Arc, time::Duration};

use domain::clock::Clock;
use harness::{KeySpec, Process, Tenant, TestApp, TestClock, TestDatabase};
use persistence::{Hold, Kind, RetentionRun, Store};
use prometheus::{Registry, TextEncoder};
use serde_json::json;

use crate::audit::{events, log_of};

const DAY: i64 = 24 * 60 * 60 * 1_000;

/// What retention may remove: a deleted key, events, and a counted verify.
async fn fill(app: &TestApp) -> Tenant {
    let tenant = app.tenant("Acme").await;
    let (id, _) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    assert_eq!(tenant.admin.delete(&format!("/orgs/{}/api_keys/{id}", tenant.org_id)).await.status, 200);
    let verify = tenant.admin.post("/api_keys/verify", &json!({"key": tenant.admin.bearer()})).await;
    assert_eq!(verify.json()["code"], "VALID");
    while left(&tenant).await.2 == 0 {
        tokio::task::yield_now().await;
    }
    tenant
}

/// Deleted keys, events, and counted verifies that are still there.
async fn left(tenant: &Tenant) -> (usize, usize, u64) {
    let deleted = tenant.admin.get(&format!("/orgs/{}/api_keys?deleted=true", tenant.org_id)).await.json();
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
async fn a_store_whose_clock_is_500_days_ahead_purges_nothing() {
    for has_run_before in [true, false] {
        let app = TestApp::start().await;
        let tenant = fill(&app).await;
        let before = left(&tenant).await;
        if has_run_before {
            let store = app.database.store().await;
            let run = store.purge(app.clock.now(), None, false).await.expect("it runs");
            assert_eq!((held(&run), purged(&run)), (vec![None; 3], vec![0; 3]));
            store.close().await;
        }
        let registry = Registry::new();
        let mut settings = app.database.settings();
        settings.registry = registry.clone();
        settings.clock = Arc::new(TestClock::at(app.clock.now().plus_millis(500 * DAY)));
        let ahead = Store::connect(&settings).await.expect("the database is there");
        let run = ahead.run_retention_now(None, false).await.expect("it runs");
        assert_eq!((purged(&run), left(&tenant).await), (vec![0; 3], before), "{run:?}");
        if !app.database.is_postgres() {
            assert_eq!(held(&run), [Some(Hold::UnusualShare); 3], "{run:?}");
            let figures = TextEncoder::new().encode_to_string(&registry.gather()).expect("text");
            assert!(figures.contains("claviger_retention_held{kind=\"audit_events\"} 1"), "{figures}");
            // The clock is right again.
            let store = app.database.store().await;
            let run = store.purge(app.clock.now(), None, false).await.expect("it runs");
            assert_eq!(held(&run), [None; 3]);
            store.close().await;
            // It was right, an operator says.
            let run = ahead.run_retention_now(None, true).await.expect("it runs");
            assert_eq!((held(&run), left(&tenant).await), (vec![None; 3], (0, 0, 0)), "{run:?}");
        }
        ahead.close().await;
    }
}

#[tokio::test]
async fn a_clock_that_is_a_month_ahead_holds_all_of_it() {
    let app = TestApp::start().await;
    let old = fill(&app).await;
    let events_before = left(&old).await.1;
    let store = app.database.store().await;
    app.clock.advance_seconds(398 * DAY / 1_000);
    let new = app.tenant("New").await;
    assert_eq!(new.admin.delete(&format!("/orgs/{}/api_keys/{}", new.org_id, new.key_id)).await.status, 200);
    store.purge(app.clock.now(), None, true).await.expect("it runs");
    // That the deleted key would go is unusual, so the clock is not believed in what it says of the events either.
    let run = store.purge(app.clock.now().plus_millis(31 * DAY), None, false).await.expect("it runs");
    assert_eq!(held(&run), [Some(Hold::UnusualShare), Some(Hold::UnusualShare), None], "{run:?}");
    assert_eq!((purged(&run), events(&old.admin, &log_of(&old)).await.len()), (vec![0; 3], events_before));
    store.close().await;
}

#[tokio::test]
async fn time_that_goes_on_is_never_held() {
    let app = TestApp::start().await;
    let tenant = fill(&app).await;
    let store = app.database.store().await;
    let mut now = app.clock.now();
    for _ in 0..2 * 401 {
        let run = store.purge(now, None, false).await.expect("it runs");
        assert_eq!(held(&run), [None; 3], "{run:?}");
        now = now.plus_millis(DAY / 2);
    }
    assert_eq!(left(&tenant).await, (0, 0, 0), "everything went in its time");
    store.close().await;
}

#[tokio::test]
async fn a_service_that_was_off_for_some_days_goes_on() {
    let app = TestApp::start().await;
    let tenant = fill(&app).await;
    let store = app.database.store().await;
    let (start, month) = (app.clock.now(), 30 * DAY);
    store.purge(start.plus_millis(month - 3 * DAY), None, false).await.expect("it runs");
    let run = store.purge(start.plus_millis(month), None, false).await.expect("it runs");
    assert_eq!((held(&run), left(&tenant).await.0), (vec![None; 3], 0), "three days are no jump: {run:?}");
    store.close().await;
}

#[tokio::test]
async fn a_shortened_setting_is_held_until_it_is_confirmed() {
    let app = TestApp::start().await;
    let tenant = fill(&app).await;
    let before = left(&tenant).await;
    let now = app.clock.now().plus_millis(2 * DAY);
    let store = app.database.store().await;
    store.purge(now, None, false).await.expect("it runs");
    store.close().await;
    let mut settings = app.database.settings();
    settings.retention.audit = Duration::from_hours(24);
    let shorter = Store::connect(&settings).await.expect("the database is there");
    let run = shorter.purge(now, None, false).await.expect("it runs");
    assert_eq!(held(&run), [None, Some(Hold::UnusualShare), None], "{run:?}");
    assert_eq!((run.purges[1].due, run.purges[1].all), (before.1 as u64, before.1 as u64));
    assert_eq!(left(&tenant).await, before);
    let run = shorter.purge(now, None, true).await.expect("it runs");
    assert_eq!((run.purges[1].purged, left(&tenant).await.1), (before.1 as u64, 0));
    let later = now.plus_millis(DAY / 2);
    assert_eq!(held(&shorter.purge(later, None, false).await.expect("it runs")), [None; 3], "it was confirmed");
    shorter.close().await;
}

#[tokio::test]
async fn an_operator_looks_and_confirms_on_the_command_line() {
    // By the real clock all of this was three days ago.
    let clock = Arc::new(TestClock::at(api::system::SystemClock.now().plus_millis(-3 * DAY)));
    let app = TestApp::start_by(TestDatabase::fresh().await, clock, false, |_| {}).await;
    let tenant = fill(&app).await;
    let events = left(&tenant).await.1;
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
    assert!(usual.contains("audit events of before 20") && usual.contains(": 0 purged"), "{usual}");
    let (code, shown) = run(&["retention", "run"], "1h");
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains(&format!("HELD: {events} of {events} would be purged at once")), "{shown}");
    assert_eq!(left(&tenant).await.1, events, "shown, not done");
    let (code, forced) = run(&["retention", "run", "--force"], "1h");
    assert_eq!((code, left(&tenant).await.1), (Some(0), 0), "{forced}");
    assert!(forced.contains(&format!(": {events} purged")), "{forced}");
    let (code, verified) = run(&["audit", "verify"], "1h");
    assert!(code == Some(0) && verified.contains("were pruned by retention"), "signed: {verified}");
}
