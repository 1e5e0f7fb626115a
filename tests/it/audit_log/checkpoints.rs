//! Checkpoints are signed only for logs that continue their last checkpoint. They contain the time of the first one.

use std::{collections::BTreeSet, sync::Arc};

use api::cli::audit_verify::Assurance;
use domain::{
    audit::{Checkpoint, IntegrityError},
    clock::Clock,
    ports::{self, CheckpointSigner},
};
use harness::{Manipulation, Process, Tamperer, TestApp, TestDatabase};

use crate::audit_log::{
    events::create,
    tampering::{Fixture, keyring},
};

/// Signs as another process does, which has no checkpoints in memory. Returns the number of signed logs.
pub(crate) async fn sign_elsewhere(fixture: &Fixture) -> usize {
    let (mut count, log) = (0, Fixture::log_of(&fixture.app, &fixture.store));
    log.sign_checkpoints(&*keyring(), |_, _| count += 1).await.expect("signed");
    count
}

async fn broken_logs(app: &TestApp) -> String {
    let metrics = app.anyone().get("/metrics").await.text;
    let line = metrics.lines().find(|line| line.starts_with("claviger_audit_logs_broken "));
    line.unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_checkpoint_covers_the_events_since_the_last_one() {
    let fixture = Fixture::new().await;
    let first = fixture.checkpoint().await.expect("a checkpoint");
    assert_eq!((first.head.seq, first.unsequenced), (6, Some(0)));
    assert_eq!(sign_elsewhere(&fixture).await, 0, "there are no new events");
    create(&fixture.tenant.admin, &fixture.tenant, &[]).await;
    let (assurance, message) = fixture.verify(true, &[]).await;
    assert!(assurance == Assurance::Proven && message.contains("not signed yet: 1"), "{message}");
    // After this time it must be signed.
    fixture.app.clock.advance_seconds(11 * 60);
    let (assurance, message) = fixture.verify(true, &[]).await;
    assert!(assurance == Assurance::ConsistentOnly && message.contains("events after 6 are older than"), "{message}");
    assert_eq!(sign_elsewhere(&fixture).await, 1);
    let next = fixture.checkpoint().await.expect("a checkpoint");
    assert_eq!(
        (next.head.seq, next.first, next.unsequenced),
        (7, first.first, first.unsequenced),
        "the new checkpoint continues the previous one"
    );
    let (assurance, message) = fixture.verify(true, &[first]).await;
    assert!(assurance == Assurance::Proven && message.contains("proven up to event 7"), "{message}");
    // As an earlier version signed them, in any order.
    let old = [next, first].map(|checkpoint| {
        let old = Checkpoint { first: None, unsequenced: None, ..checkpoint };
        keyring().read_checkpoint(&keyring().sign_checkpoint(&old)).expect("signed")
    });
    assert_eq!(old[0].first, None);
    assert_eq!(fixture.verify(true, &old).await.0, Assurance::Proven);
    fixture.store.close().await;
}

#[tokio::test]
async fn a_log_that_does_not_continue_its_checkpoint_is_not_signed() {
    let fixture = Fixture::new().await;
    let kept = fixture.checkpoint().await.expect("a checkpoint");
    assert_eq!(broken_logs(&fixture.app).await, "claviger_audit_logs_broken 0");
    let tamperer = Tamperer::new(&fixture.app.database, &fixture.tenant.org_id).await;
    tamperer.rewrite_from(&fixture.store, 4).await;
    create(&fixture.tenant.admin, &fixture.tenant, &[]).await;
    fixture.app.sign_checkpoints().await;
    assert_eq!(sign_elsewhere(&fixture).await, 0);
    assert_eq!(fixture.checkpoint().await, Some(kept), "the checkpoint is not replaced");
    assert_eq!(broken_logs(&fixture.app).await, "claviger_audit_logs_broken 1");
    // The process that has signed it has its checkpoint in memory.
    tamperer.apply(Manipulation::RemoveCheckpoint).await;
    fixture.app.sign_checkpoints().await;
    assert_eq!(fixture.checkpoint().await, None);
    // Another process does not know the removed checkpoint. Its own one contains the time since when it signs.
    fixture.app.clock.advance_seconds(11 * 60);
    assert_eq!(sign_elsewhere(&fixture).await, 1);
    let (assurance, message) = fixture.verify(true, &[]).await;
    assert!(assurance == Assurance::ConsistentOnly && message.contains("up to 7 were first signed at"), "{message}");
    let (assurance, message) = fixture.verify(true, &[kept]).await;
    assert!(assurance == Assurance::Tampered && message.contains("checkpoint of event 6"), "{message}");
    fixture.store.close().await;
}

#[tokio::test]
async fn a_log_with_an_invalid_hash_does_not_stop_signing_and_pruning_of_others() {
    let fixture = Fixture::new().await;
    let later = fixture.app.tenant("Later").await;
    create(&later.admin, &later, &[]).await;
    create(&fixture.tenant.admin, &fixture.tenant, &[]).await;
    let tamperer = Tamperer::new(&fixture.app.database, &fixture.tenant.org_id).await;
    tamperer.shorten_end_hash().await;
    let (keyring, mut signed) = (keyring(), Vec::new());
    let log = Fixture::log_of(&fixture.app, &fixture.store);
    let sign = log.sign_checkpoints(&*keyring, |checkpoint, _| signed.push(checkpoint.head.organization.to_string()));
    sign.await.expect("signed");
    assert!(signed.contains(&later.org_id) && !signed.contains(&fixture.tenant.org_id), "{signed:?}");
    let mut found = Vec::new();
    let verifier = Some(&*keyring as &dyn CheckpointSigner);
    let verify = fixture.log.verify(None, &[], verifier, |report| found.push((report.end.organization, report.broken)));
    verify.await.expect("read");
    let of = |org_id: &str| {
        let found = found.iter().find(|(organization, _)| organization.to_string() == org_id);
        found.map(|(_, broken)| *broken)
    };
    assert_eq!(of(&fixture.tenant.org_id), Some(Some(IntegrityError::InvalidHash)));
    assert_eq!(of(&later.org_id), Some(None));
    // Retention does not prune it, but the others.
    let now = Clock::now(&*fixture.app.clock).plus_millis(401 * 24 * 60 * 60 * 1_000);
    fixture.store.purge(now, Some(keyring), true).await.expect("purged");
    let chain =
        ports::AuditLog::chain(&*fixture.store.audit, later.org_id.parse().expect("an id")).await.expect("read");
    let chain = chain.expect("a log");
    assert_eq!(chain.begin.seq, chain.end.seq, "all events are too old");
    fixture.store.close().await;
}

#[tokio::test]
async fn a_signing_run_continues_after_the_last_signed_log() {
    let app = TestApp::start().await;
    let mut tenants = Vec::new();
    for name in ["A", "B", "C", "D"] {
        tenants.push(app.tenant(name).await);
    }
    app.sign_checkpoints().await;
    let store = Arc::new(app.database.store().await);
    let log = Fixture::log_of(&app, &store).with_max_checkpoints(3);
    let mut all = BTreeSet::new();
    for run in 0..2 {
        for tenant in &tenants {
            create(&tenant.admin, tenant, &[]).await;
        }
        let mut signed = BTreeSet::new();
        log.sign_checkpoints(&*keyring(), |checkpoint, _| {
            signed.insert(checkpoint.head.organization.to_string());
        })
        .await
        .expect("signed");
        // The second run begins with the log after the last signed one.
        assert_eq!(signed.len(), 3, "run {run}: {signed:?}");
        all.extend(signed);
    }
    assert!(tenants.iter().all(|tenant| all.contains(&tenant.org_id)), "{all:?}");
    store.close().await;
}

#[tokio::test]
async fn a_restored_older_log_is_detected_with_published_checkpoints() {
    let fixture = Fixture::new().await;
    let tamperer = Tamperer::new(&fixture.app.database, &fixture.tenant.org_id).await;
    create(&fixture.tenant.admin, &fixture.tenant, &[]).await;
    fixture.app.sign_checkpoints().await;
    let kept = fixture.checkpoint().await.expect("a checkpoint");
    tamperer.restore().await;
    let (assurance, message) = fixture.verify(true, &[]).await;
    assert!(
        assurance == Assurance::Proven && message.contains("up to event 6"),
        "the result before the tampering: {message}"
    );
    let (assurance, message) = fixture.verify(true, &[kept]).await;
    assert!(assurance == Assurance::Tampered && message.contains("checkpoint of event 7"), "{message}");
    // The process that has signed event 7 does not sign a log that continues event 6.
    create(&fixture.tenant.admin, &fixture.tenant, &[]).await;
    fixture.app.sign_checkpoints().await;
    assert_eq!(fixture.checkpoint().await.map(|checkpoint| checkpoint.head.seq), Some(6));
    fixture.store.close().await;
}

#[tokio::test]
async fn events_without_sequence_numbers_are_not_proven() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    for _ in 0..5 {
        create(&tenant.admin, &tenant, &[]).await;
    }
    let store = Arc::new(app.database.store().await);
    let log = Fixture::log_of(&app, &store);
    let fixture = Fixture { app, tenant, store, log };
    let tamperer = Tamperer::new(&fixture.app.database, &fixture.tenant.org_id).await;
    tamperer.apply(Manipulation::AddOldUnsequenced).await;
    fixture.app.sign_checkpoints().await;
    assert_eq!(fixture.checkpoint().await.and_then(|checkpoint| checkpoint.unsequenced), Some(1));
    let (assurance, message) = fixture.verify(true, &[]).await;
    assert!(assurance == Assurance::ConsistentOnly && message.contains("1 events were written before"), "{message}");
    tamperer.apply(Manipulation::AddOldUnsequenced).await;
    let (assurance, message) = fixture.verify(true, &[]).await;
    assert!(assurance == Assurance::Tampered && message.contains("1 events without a sequence number"), "{message}");
    fixture.store.close().await;
}

#[tokio::test]
async fn the_migration_creates_missing_logs() {
    let database = TestDatabase::fresh().await;
    let settings = [("CLAVIGER_DATABASE_URL", database.url())];
    assert_eq!(Process::run(&["migrate"], &settings).status.code(), Some(0));
    let app = TestApp::start_on(database.shared(), |_| {}).await;
    let tenant = app.tenant("Acme").await;
    app.stop().await;
    let tamperer = Tamperer::new(&database, &tenant.org_id).await;
    let verify = || {
        let output = Process::run(&["audit", "verify"], &settings);
        (output.status.code(), String::from_utf8(output.stdout).expect("text"))
    };
    tamperer.apply(Manipulation::RemoveLog).await;
    let (code, out) = verify();
    assert!(code == Some(1) && out.contains(&tenant.org_id) && out.contains("BROKEN: the log is missing"), "{out}");
    tamperer.remove_log_and_checkpoints().await;
    assert_eq!(Process::run(&["migrate"], &settings).status.code(), Some(0));
    let (code, out) = verify();
    assert!(code == Some(3) && out.contains("internally consistent, but not protected"), "{out}");
}
