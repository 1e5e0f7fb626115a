//! Limits are exact: under concurrency, over several processes, and when a process is killed.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use domain::keys::quota::{Quota, RateLimit};
use harness::{Caller, KeySpec, Process, TestApp, TestDatabase};
use serde_json::{Value, json};

/// The result of a verification request.
#[derive(Debug)]
enum Verified {
    /// The service responded whether the key is valid.
    Answered(bool),
    /// The service responded with 503: the use may be stored or not.
    Unavailable,
    /// The connection failed: the use may be stored or not.
    ConnectionFailed,
}

async fn verify(caller: &Caller, key: &str) -> Verified {
    let body = json!({"key": key}).to_string().into_bytes();
    let caller = caller.with("content-type", "application/json");
    match caller.try_send("POST", "/api/auth/api-key/verify", Some(body)).await {
        Ok(answer) if answer.status == 200 => Verified::Answered(answer.json()["valid"] == true),
        Ok(answer) if answer.status == 503 => Verified::Unavailable,
        Ok(answer) => panic!("{answer:?}"),
        Err(_) => Verified::ConnectionFailed,
    }
}

/// Runs `clients` concurrently, each with `each` verifications, spread over the callers. Returns the number of valid
/// results.
async fn verify_concurrently(callers: &[Caller], key: &str, clients: usize, each: usize) -> u64 {
    let clients = (0..clients).map(|n| {
        let caller = callers[n % callers.len()].clone();
        async move {
            let mut valid = 0;
            for _ in 0..each {
                let Verified::Answered(is_valid) = verify(&caller, key).await else { panic!("no answer") };
                valid += u64::from(is_valid);
            }
            valid
        }
    });
    futures_util::future::join_all(clients).await.into_iter().sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_verifications_get_exactly_the_remaining_uses() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let quota = Quota { remaining: Some(500), ..Quota::default() };
    let (id, key) = app.key(&tenant.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
    assert_eq!(verify_concurrently(std::slice::from_ref(&tenant.admin), &key, 64, 20).await, 500);
    assert_eq!(app.counts(&id).await, (Some(0), 0, 500));

    let rate_limit = Some(RateLimit { max: 300, window: 3_600_000 });
    let quota = Quota { rate_limit, ..Quota::default() };
    let (id, key) = app.key(&tenant.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
    assert_eq!(verify_concurrently(std::slice::from_ref(&tenant.admin), &key, 64, 20).await, 300);
    assert_eq!(app.counts(&id).await, (None, 300, 300));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_admitted_use_gets_its_own_remaining_count() {
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
#[cfg_attr(not(feature = "postgres"), ignore = "needs PostgreSQL")]
async fn limits_are_exact_over_two_nodes() {
    let database = TestDatabase::fresh().await;
    let app = TestApp::start_on(database, |_| {}).await;
    let tenant = app.tenant("Acme").await;
    let settings = [("CLAVIGER_DATABASE_URL", app.database.url()), ("CLAVIGER_LOG", "claviger=info")];
    let nodes = [Process::serve(&settings), Process::serve(&settings)];
    let callers = nodes.each_ref().map(Process::anyone);
    let callers = callers.map(|caller| caller.with_bearer(tenant.admin.bearer()));
    for (quota, granted) in [
        (Quota { remaining: Some(500), ..Quota::default() }, 500),
        (Quota { rate_limit: Some(RateLimit { max: 300, window: 3_600_000 }), ..Quota::default() }, 300),
    ] {
        let (id, key) = app.key(&tenant.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
        assert_eq!(verify_concurrently(&callers, &key, 64, 20).await, granted);
        assert_eq!(app.counts(&id).await.2, i64::try_from(granted).expect("small"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_uses_survive_a_kill() {
    const CLIENTS: usize = 32;
    /// A round that takes longer fails the test.
    const MAX_ROUND_TIME: Duration = Duration::from_mins(2);
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let granted = 1_000_000;
    let quota = Quota { remaining: Some(granted), ..Quota::default() };
    let (id, key) = app.key(&tenant.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
    let admin = tenant.admin.bearer().to_owned();
    let (_, database) = app.stop().await;
    // Requests without a response: their uses may be stored or not.
    let unanswered = Arc::new(AtomicU64::new(0));
    let mut acknowledged = 0;
    for round in 0..10 {
        let settings = [("CLAVIGER_DATABASE_URL", database.url()), ("CLAVIGER_LOG", "warn,claviger=info")];
        // One node on SQLite, two on PostgreSQL.
        let nodes: Vec<Process> = (0..=u8::from(database.is_postgres())).map(|_| Process::serve(&settings)).collect();
        let caller = |node: &Process| node.anyone().with_bearer(&admin);
        let callers: Vec<Caller> = nodes.iter().map(caller).collect();
        let answered = Arc::new(AtomicU64::new(0));
        let clients = (0..CLIENTS).zip(callers.iter().cycle()).map(|(_, caller)| {
            let (caller, key) = (caller.clone(), key.clone());
            let (answered, unanswered) = (answered.clone(), unanswered.clone());
            async move {
                loop {
                    match verify(&caller, &key).await {
                        Verified::Answered(is_valid) => {
                            assert!(is_valid, "uses remain");
                            answered.fetch_add(1, Ordering::SeqCst);
                        }
                        Verified::Unavailable => {
                            unanswered.fetch_add(1, Ordering::SeqCst);
                        }
                        Verified::ConnectionFailed => {
                            unanswered.fetch_add(1, Ordering::SeqCst);
                            break;
                        }
                    }
                }
            }
        });
        let mut clients = pin!(futures_util::future::join_all(clients));
        let enough = async {
            while answered.load(Ordering::SeqCst) < 100 + round * 17 {
                tokio::task::yield_now().await;
            }
        };
        let log = || nodes.iter().map(Process::log).collect::<Vec<_>>();
        tokio::select! {
            () = enough => {}
            _ = &mut clients => panic!("round {round}: all connections failed before the kill: {:?}", log()),
            () = tokio::time::sleep(MAX_ROUND_TIME) => panic!("round {round}: {answered:?} answers: {:?}", log()),
        }
        for node in &nodes {
            node.signal("KILL");
        }
        tokio::time::timeout(MAX_ROUND_TIME, clients).await.expect("connections to a killed process fail");
        drop(nodes);
        acknowledged += answered.load(Ordering::SeqCst);
        let (remaining, _, counted) = database.counts(&id).await;
        let spent = granted
            - remaining.and_then(|remaining| u64::try_from(remaining).ok()).expect("a number of remaining uses");
        assert_eq!(i64::try_from(spent).ok(), Some(counted), "one statement writes both");
        assert!(acknowledged <= spent, "round {round}: {acknowledged} acknowledged, {spent} spent");
        let unanswered = unanswered.load(Ordering::SeqCst);
        assert!(
            spent <= acknowledged + unanswered,
            "round {round}: {spent} spent, {acknowledged} acknowledged, {unanswered} without an answer"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_changed_during_concurrent_verifications_is_evaluated_again() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let quota = Quota { remaining: Some(100_000), ..Quota::default() };
    let (id, key) = app.key(&tenant.org_id, KeySpec { quota, ..KeySpec::with(&["files:read"]) }).await;
    let verify_concurrently = verify_concurrently(std::slice::from_ref(&tenant.admin), &key, 16, 30);
    let changes = async {
        for n in 0..20 {
            let update = json!({"keyId": id, "name": format!("n{n}")});
            assert_eq!(tenant.admin.post("/api/auth/api-key/update", &update).await.status, 200);
        }
    };
    let (valid, ()) = futures_util::join!(verify_concurrently, changes);
    assert_eq!(valid, 480, "changes of other settings deny no verification");
    assert_eq!(app.counts(&id).await, (Some(100_000 - 480), 0, 480));
    let disable = json!({"keyId": id, "enabled": false});
    assert_eq!(tenant.admin.post("/api/auth/api-key/update", &disable).await.status, 200);
    let verdict = tenant.admin.post("/api/auth/api-key/verify", &json!({"key": key})).await.json();
    assert_eq!(verdict["error"]["code"], "KEY_DISABLED");
    assert_eq!(verdict["key"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_has_every_acknowledged_use() {
    const CLIENTS: u64 = 16;
    let (app, file) = TestApp::on_a_file().await;
    let tenant = app.tenant("Acme").await;
    let quota = Quota { remaining: Some(1_000_000), ..Quota::default() };
    let (id, key) = app.key(&tenant.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
    let (answered, is_done) = (AtomicU64::new(0), AtomicBool::new(false));
    let clients = (0..CLIENTS).map(|_| async {
        while !is_done.load(Ordering::SeqCst) {
            let verified = verify(&tenant.admin, &key).await;
            assert!(matches!(verified, Verified::Answered(true)), "uses remain: {verified:?}");
            answered.fetch_add(1, Ordering::SeqCst);
        }
    });
    let backups = async {
        for n in 1..4 {
            while answered.load(Ordering::SeqCst) < n * 100 {
                tokio::task::yield_now().await;
            }
            let copy = file.with_extension(format!("copy{n}"));
            let before = answered.load(Ordering::SeqCst);
            app.database.back_up(&copy).await;
            let after = answered.load(Ordering::SeqCst);
            let restored = Process::serve(&[("CLAVIGER_DATABASE_URL", &format!("sqlite://{}", copy.display()))]);
            let admin = tenant.admin.at(&format!("http://{}", restored.address));
            let shown = admin.get(&format!("{}/{id}", tenant.keys())).await.json();
            let used = shown["request_count"].as_u64().expect("a number");
            assert!((before..=after + CLIENTS).contains(&used), "{before} to {after}: {used}");
            assert_eq!(shown["remaining"], json!(1_000_000 - used));
        }
        is_done.store(true, Ordering::SeqCst);
    };
    futures_util::join!(futures_util::future::join_all(clients), backups);
}
