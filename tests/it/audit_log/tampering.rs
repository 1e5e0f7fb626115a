//! Tampering by an administrator of the database is detected, as far as the documents promise.

use std::sync::Arc;

use api::{
    auth::jwt::keyring::{Keyring, SigningKeyLocation},
    cli::audit_verify::{self, Assurance},
    process::system::SystemEntropy,
};
use domain::{
    audit::{ChainHead, Checkpoint},
    audit_log::AuditLogService,
    id::OrganizationId,
    ports::{self, CheckpointSigner},
};
use harness::{Manipulation, Tamperer, Tenant, TestApp, signing_key};
use persistence::Store;

use crate::audit_log::events::{create, events, log_of};

const DAY: i64 = 24 * 60 * 60 * 1_000;

pub(crate) fn keyring() -> Arc<Keyring> {
    let at = SigningKeyLocation::File(signing_key().clone());
    Arc::new(Keyring::open(&at, None, &SystemEntropy).expect("a file").keyring.expect("keys"))
}

/// A service, and a log whose events 1 and 2 were pruned and whose events 3 to 6 are signed.
pub(crate) struct Fixture {
    pub(crate) app: TestApp,
    pub(crate) tenant: Tenant,
    pub(crate) store: Arc<Store>,
    pub(crate) log: AuditLogService,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        let app = TestApp::start().await;
        let tenant = app.tenant("Acme").await;
        create(&tenant.admin, &tenant, &[]).await;
        app.sign_checkpoints().await;
        let store = Arc::new(app.database.store().await);
        app.clock.advance_seconds(300 * DAY / 1_000);
        for _ in 0..4 {
            create(&tenant.admin, &tenant, &[]).await;
        }
        let later = domain::clock::Clock::now(&*app.clock).plus_millis(101 * DAY);
        store.purge(later, Some(keyring()), true).await.expect("purged");
        app.sign_checkpoints().await;
        let log = Self::log_of(&app, &store);
        Self { app, tenant, store, log }
    }

    /// The audit log as another process uses it.
    pub(crate) fn log_of(app: &TestApp, store: &Arc<Store>) -> AuditLogService {
        AuditLogService::new(store.audit.clone(), store.database.clone(), app.clock.clone(), 400 * DAY.unsigned_abs())
    }

    pub(crate) fn organization(&self) -> OrganizationId {
        self.tenant.org_id.parse().expect("an id")
    }

    /// The stored checkpoint of the log.
    pub(crate) async fn checkpoint(&self) -> Option<Checkpoint> {
        let chain =
            ports::AuditLog::chain(&*self.store.audit, self.organization()).await.expect("read").expect("a log");
        chain.checkpoint(Some(&*keyring())).expect("its own")
    }

    pub(crate) async fn verify(&self, has_keys: bool, given: &[Checkpoint]) -> (Assurance, String) {
        let keyring = keyring();
        let signer = has_keys.then_some(&*keyring as &dyn CheckpointSigner);
        let mut all = Vec::new();
        self.log.verify(None, given, signer, |report| all.push(audit_verify::assess(&report))).await.expect("read");
        all.into_iter().max_by_key(|(assurance, _)| *assurance).expect("a log")
    }
}

/// The results without the signing keys, with them, and with the newest published checkpoint.
async fn assess_all(fixture: &Fixture, kept: Checkpoint) -> ([Assurance; 3], String) {
    let (alone, message) = fixture.verify(false, &[]).await;
    let (with_keys, more) = fixture.verify(true, &[]).await;
    let (with_kept, most) = fixture.verify(true, &[kept]).await;
    ([alone, with_keys, with_kept], format!("{message}\n{more}\n{most}"))
}

#[tokio::test]
async fn removals_insertions_and_reorderings_of_events_are_detected() {
    use Assurance::{ConsistentOnly as C, Proven as P, Tampered as T};
    let fixture = Fixture::new().await;
    let kept = fixture.checkpoint().await.expect("a checkpoint");
    let (whole, message) = assess_all(&fixture, kept).await;
    assert_eq!(whole, [C, P, P], "{message}");
    assert!(
        message.contains("events 1 to 2 were pruned by retention") && message.contains("proven up to event 6"),
        "{message}"
    );
    let tamperer = Tamperer::new(&fixture.app.database, &fixture.tenant.org_id).await;
    for manipulation in Manipulation::ALL {
        let expected = match manipulation {
            // Without the keys, erased events cannot be distinguished from pruned ones, nor a truncated log from a whole one.
            Manipulation::EraseAll
            | Manipulation::EraseAllButLast
            | Manipulation::CutTailAndEnd
            | Manipulation::AddOldUnsequenced => [C, T, T],
            // Without the signature the log is not proven.
            Manipulation::RemoveCheckpoint => [C, C, P],
            Manipulation::CutTailEndAndCheckpoint => [C, C, T],
            Manipulation::SwapRowNumbers => [C, P, P],
            _ => [T, T, T],
        };
        tamperer.apply(manipulation).await;
        let (got, message) = assess_all(&fixture, kept).await;
        assert_eq!(got, expected, "{manipulation:?}: {message}");
        if manipulation == Manipulation::SwapRowNumbers {
            let listed = events(&fixture.tenant.admin, &log_of(&fixture.tenant)).await;
            let places: Vec<_> = listed.iter().map(|event| event["seq"].as_u64()).collect();
            assert_eq!(places, [Some(6), Some(5), Some(4), Some(3)], "the list is sorted by sequence number");
        }
        tamperer.restore().await;
    }
    let (whole, message) = assess_all(&fixture, kept).await;
    assert_eq!(whole, [C, P, P], "the log is restored: {message}");
    // A log that was removed with its organization.
    let organization = "01a1b2c3-0000-7000-8000-000000000000".parse().expect("an id");
    let gone = Checkpoint { head: ChainHead { organization, ..kept.head }, ..kept };
    let (assurance, message) = fixture.verify(true, &[gone]).await;
    assert!(assurance == T && message.contains("checkpoint of event 6"), "{message}");
    fixture.store.close().await;
}

#[tokio::test]
async fn every_column_of_the_log_is_covered_or_has_no_meaning() {
    /// The row number has no meaning.
    const EVENTS: [&str; 1] = ["id"];
    /// When retention and signing read a log next, and the limits of this hour.
    const CHAINS: [&str; 6] = ["begin_at", "end_at", "counted_hour", "changes", "idempotency_keys", "answer_bytes"];
    let fixture = Fixture::new().await;
    let kept = fixture.checkpoint().await.expect("a checkpoint");
    let tamperer = Tamperer::new(&fixture.app.database, &fixture.tenant.org_id).await;
    let columns = tamperer.columns().await;
    assert!(columns.len() > 30, "{columns:?}");
    for column in &columns {
        let uncovered: &[&str] = if column.table == "audit_events" { &EVENTS } else { &CHAINS };
        let is_covered = !uncovered.contains(&column.name.as_str());
        for to_null in [false, true] {
            if to_null && !tamperer.can_be_emptied(column, 5).await {
                continue;
            }
            tamperer.change(column, 5, to_null).await;
            let (got, message) = assess_all(&fixture, kept).await;
            let what = format!("{} of {}, empty: {to_null}: {message}", column.name, column.table);
            match column.name.as_str() {
                // A changed checkpoint has no valid signature. A removed one is detected by its sequence number.
                "checkpoint" if !to_null => assert_eq!(got[1], Assurance::ConsistentOnly, "{what}"),
                "checkpoint" | "checkpoint_seq" | "prune_record" => assert_eq!(got[1], Assurance::Tampered, "{what}"),
                _ if is_covered => assert_eq!(got, [Assurance::Tampered; 3], "{what}"),
                _ => assert_eq!(got[1], Assurance::Proven, "{what}"),
            }
            tamperer.restore().await;
        }
    }
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    assert!(
        EVENTS.iter().chain(&CHAINS).all(|name| names.contains(name)),
        "columns that are not in the lists: {names:?}"
    );
    fixture.store.close().await;
}

#[tokio::test]
async fn a_rewritten_log_is_detected_with_checkpoints() {
    use Assurance::{ConsistentOnly as C, Tampered as T};
    let fixture = Fixture::new().await;
    let kept = fixture.checkpoint().await.expect("a checkpoint");
    let tamperer = Tamperer::new(&fixture.app.database, &fixture.tenant.org_id).await;
    tamperer.rewrite_from(&fixture.store, 4).await;
    let (got, message) = assess_all(&fixture, kept).await;
    assert_eq!(got, [C, T, T], "{message}");
    tamperer.apply(Manipulation::RemoveCheckpoint).await;
    let (got, message) = assess_all(&fixture, kept).await;
    assert_eq!(got, [C, C, T], "{message}");
    fixture.store.close().await;
}
