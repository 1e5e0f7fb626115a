//! Limits are exact: under storms, over processes, and when a process is killed in the middle.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use domain::quota::{Quota, RateLimit};
use harness::{Caller, KeySpec, Process, TestApp, TestDatabase};
use serde_json::{Value, json};

/// One verify. `None`: no answer.
async fn is_valid(caller: &Caller, key: &str) -> Option<bool> {
    let body = json!({"key": key}).to_string().into_bytes();
    let caller = caller.with("content-type", "application/json");
    let answer = caller.try_send("POST", "/api/auth/api-key/verify", Some(body)).await;
    let answer = answer.ok().filter(|answer| answer.status == 200)?;
    answer.json()["valid"].as_bool()
}

/// `clients` at once, each `each` verifies in a row, spread over the callers. Answers how many were valid.
async fn storm(callers: &[Caller], key: &str, clients: usize, each: usize) -> u64 {
    let clients = (0..clients).map(|n| {
        let caller = callers[n % callers.len()].clone();
        async move {
            let mut valid = 0;
            for _ in 0..each {
                valid += u64::from(is_valid(&caller, key).await.expect("an answer"));
            }
            valid
        }
    });
    futures_util::future::join_all(clients).await.into_iter().sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_gets_exactly_what_there_is() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let quota = Quota { remaining: Some(500), ..Quota::default() };
    let (id, key) = app.key(&tenant.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
    assert_eq!(storm(std::slice::from_ref(&tenant.admin), &key, 64, 20).await, 500);
    assert_eq!(app.counts(&id).await, (Some(0), 0, 500));

    let rate_limit = Some(RateLimit { max: 300, window: 3_600_000 });
    let quota = Quota { rate_limit, ..Quota::default() };
    let (id, key) = app.key(&tenant.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
    assert_eq!(storm(std::slice::from_ref(&tenant.admin), &key, 64, 20).await, 300);
    assert_eq!(app.counts(&id).await, (None, 300, 300));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_admitted_use_gets_its_own_figure() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let quota = Quota { remaining: Some(100), ..Quota::default() };
    let (_, key) = app.key(&tenant.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
    let body = json!({"key": key});
    let uses = (0..100).map(|_| tenant.admin.post("/api/auth/api-key/verify", &body));
    let mut left: Vec<u64> = futures_util::future::join_all(uses)
        .await
        .iter()
        .map(|answer| answer.json()["key"]["remaining"].as_u64().expect("a number"))
        .collect();
    left.sort_unstable();
    assert_eq!(left, (0..100).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_on_one_database_are_exact_together() {
    let database = TestDatabase::fresh().await;
    if !database.is_postgres() {
        return; // On SQLite one process serves.
    }
    let app = TestApp::start_on(database, |_| {}).await;
    let tenant = app.tenant("Acme").await;
    let settings = [("CLAVIGER_DATABASE_URL", app.database.url()), ("CLAVIGER_LOG", "claviger=info")];
    let nodes = [Process::serve(&settings), Process::serve(&settings)];
    let callers = nodes.each_ref().map(|node| Caller::anyone(format!("http://{}", node.address)));
    let callers = callers.map(|caller| caller.with_bearer(tenant.admin.bearer()));
    for (quota, granted) in [
        (Quota { remaining: Some(500), ..Quota::default() }, 500),
        (Quota { rate_limit: Some(RateLimit { max: 300, window: 3_600_000 }), ..Quota::default() }, 300),
    ] {
        let (id, key) = app.key(&tenant.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
        assert_eq!(storm(&callers, &key, 64, 20).await, granted);
        assert_eq!(app.counts(&id).await.2, i64::try_from(granted).expect("small"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_a_kill() {
    const CLIENTS: u64 = 32;
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let granted = 1_000_000;
    let quota = Quota { remaining: Some(granted), ..Quota::default() };
    let (id, key) = app.key(&tenant.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
    let admin = tenant.admin.bearer().to_owned();
    let (_, database) = app.stop().await;
    let mut acknowledged = 0;
    for round in 0..10 {
        let settings = [("CLAVIGER_DATABASE_URL", database.url()), ("CLAVIGER_LOG", "warn,claviger=info")];
        // On SQLite one process serves, on PostgreSQL there are two.
        let nodes: Vec<Process> = (0..=u8::from(database.is_postgres())).map(|_| Process::serve(&settings)).collect();
        let caller = |node: &Process| Caller::anyone(format!("http://{}", node.address)).with_bearer(&admin);
        let callers: Vec<Caller> = nodes.iter().map(caller).collect();
        let answered = Arc::new(AtomicU64::new(0));
        let clients = (0..CLIENTS).zip(callers.iter().cycle()).map(|(_, caller)| {
            let (caller, key, answered) = (caller.clone(), key.clone(), answered.clone());
            async move {
                while is_valid(&caller, &key).await == Some(true) {
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        let kill = async {
            while answered.load(Ordering::SeqCst) < 100 + round * 17 {
                tokio::task::yield_now().await;
            }
            for node in &nodes {
                node.signal("KILL");
            }
        };
        futures_util::join!(futures_util::future::join_all(clients), kill);
        drop(nodes);
        acknowledged += answered.load(Ordering::SeqCst);
        let (remaining, _, counted) = database.counts(&id).await;
        let spent = granted - remaining.and_then(|remaining| u64::try_from(remaining).ok()).expect("what remains");
        assert_eq!(i64::try_from(spent).ok(), Some(counted), "one statement writes both");
        assert!(acknowledged <= spent, "round {round}: {acknowledged} acknowledged, {spent} spent");
        assert!(
            spent <= acknowledged + CLIENTS * (round + 1),
            "round {round}: {spent} spent, {acknowledged} acknowledged"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_changes_in_the_storm_is_decided_anew() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let quota = Quota { remaining: Some(100_000), ..Quota::default() };
    let (id, key) = app.key(&tenant.org_id, KeySpec { quota, ..KeySpec::with(&["files:read"]) }).await;
    let storm = storm(std::slice::from_ref(&tenant.admin), &key, 16, 30);
    let changes = async {
        for n in 0..20 {
            let update = json!({"keyId": id, "name": format!("n{n}")});
            assert_eq!(tenant.admin.post("/api/auth/api-key/update", &update).await.status, 200);
        }
    };
    let (valid, ()) = futures_util::join!(storm, changes);
    assert_eq!(valid, 480, "a change that takes nothing away refuses nobody");
    assert_eq!(app.counts(&id).await, (Some(100_000 - 480), 0, 480));
    let disable = json!({"keyId": id, "enabled": false});
    assert_eq!(tenant.admin.post("/api/auth/api-key/update", &disable).await.status, 200);
    let verdict = tenant.admin.post("/api/auth/api-key/verify", &json!({"key": key})).await.json();
    assert_eq!(verdict["error"]["code"], "KEY_DISABLED");
    assert_eq!(verdict["key"], Value::Null);
}
