//! Every acknowledged use is found again after a crash at each step, and changes are neither lost nor ignored.

use std::path::Path;

use domain::{
    Error,
    deny_reason::DenyReason,
    id::{KeyId, OrganizationId},
    organizations::organization::{Organization, OrganizationKind},
};
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::*;
use crate::{
    Access, Settings, Store,
    db::open::OpenError,
    metrics::counters::Counters,
    retention,
    rows::{convert, counter_journal::KeyCounters, entity::organization},
};

/// A database, and a counter beside its store's own, which has no requests.
struct Service {
    store: Store,
    counter: JournalCounter,
}

/// The stored counters of a key: `remaining`, `request_count`.
type Stored = (Option<i64>, i64);

fn key(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

impl Service {
    async fn open(settings: &Settings) -> Self {
        let store = Store::open(settings, Access::Prepare).await.expect("the database opens");
        let folds = Counters::new().folds;
        let states = Arc::new(CounterStates::new());
        let counter = JournalCounter::new(store.database.pools.clone(), settings.clock.clone(), states, folds);
        Self { store, counter }
    }

    /// With keys `0..keys` that have this many remaining uses.
    async fn with_keys(directory: &TempDir, keys: u128, remaining: i64) -> Self {
        let service = Self::open(&retention::tests::settings(directory)).await;
        let id = OrganizationId::from_uuid(key(0));
        let new = Organization::new(id, None, OrganizationKind::Tenant, Timestamp::from_millis(0));
        let write = &service.store.database.pools.write;
        let row = convert::organization_row(&new);
        organization::Entity::insert(row).exec_without_returning(write).await.expect("a row");
        let values: Vec<String> = (0..keys)
            .map(|n| {
                let (id, organization) = (key(n).simple(), key(0).simple());
                format!("(X'{id}', X'{organization}', 'p', 's', true, '', 0, 0, {remaining}, 1)")
            })
            .collect();
        let columns =
            "id, organization_id, prefix, start, enabled, permissions, created_at, updated_at, remaining, version";
        service.execute(&format!("INSERT INTO api_keys ({columns}) VALUES {}", values.join(", "))).await;
        service
    }

    async fn execute(&self, sql: &str) {
        self.store.database.pools.write.execute_unprepared(sql).await.expect("the statement runs");
    }

    /// Uses each of these keys once. Returns what remains of each, or why it was not admitted.
    async fn try_use(&mut self, keys: impl IntoIterator<Item = u128>, version: u64) -> Result<Vec<Used>, DbFailure> {
        let (mut batch, mut answers) = (Batch::default(), Vec::new());
        for n in keys {
            let (answer, answered) = oneshot::channel();
            let request = SpendRequest { key: KeyId::from_uuid(key(n)), version, cost: 1, answer };
            batch.add(request);
            answers.push(answered);
        }
        let counted = self.counter.count(batch).await;
        // As `run` does in time.
        self.counter.connection.release().await;
        counted.map_err(|failed| failed.failure)?;
        let mut used = Vec::new();
        for answer in answers {
            used.push(match answer.await.expect("an answer").expect("no outage") {
                ConsumeOutcome::Admitted { quota, .. } => Used::Left(quota.remaining.expect("a limit")),
                ConsumeOutcome::Denied(DenyReason::UsageExceeded { .. }) => Used::Exhausted,
                ConsumeOutcome::Denied(other) => panic!("{other:?}"),
                ConsumeOutcome::Changed => Used::Changed,
            });
        }
        Ok(used)
    }

    /// As [`Service::try_use`], with the first version of the settings.
    async fn use_keys(&mut self, keys: impl IntoIterator<Item = u128>) -> Vec<Used> {
        self.try_use(keys, 1).await.expect("the uses are counted")
    }

    /// The rows of all keys, as they are.
    async fn rows(&self) -> Vec<Stored> {
        let sql = "SELECT remaining, request_count FROM api_keys ORDER BY id";
        let statement = Statement::from_string(DbBackend::Sqlite, sql);
        let rows = self.store.database.pools.write.query_all_raw(statement).await.expect("rows");
        let stored = |row: &sea_orm::QueryResult| {
            (row.try_get("", "remaining").expect("a number"), row.try_get("", "request_count").expect("a number"))
        };
        rows.iter().map(stored).collect()
    }

    async fn journal_rows(&self) -> i64 {
        let statement = Statement::from_string(DbBackend::Sqlite, "SELECT count(*) FROM counter_journal");
        let row = self.store.database.pools.write.query_one_raw(statement).await.expect("a row").expect("a row");
        row.try_get_by_index(0).expect("a number")
    }

    /// Changes a key by this assignment, and then fails if `is_refused`.
    async fn change(&self, n: u128, assignment: &str, is_refused: bool) {
        let sql = format!("UPDATE api_keys SET {assignment}, version = version + 1 WHERE id = X'{}'", key(n).simple());
        let change = self.store.database.transaction(move |transaction, _| {
            let sql = sql.clone();
            Box::pin(async move {
                transaction.execute_unprepared(&sql).await?;
                if is_refused { Err(DbFailure::Refused(Error::NotFound)) } else { Ok(()) }
            })
        });
        assert_eq!(change.await.is_err(), is_refused);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Used {
    Left(u64),
    Exhausted,
    Changed,
}

/// The rows that a start finds after a crash at this moment: with copies of the files, as they are.
async fn after_a_crash(directory: &TempDir) -> Vec<Stored> {
    let copy = TempDir::new().expect("a folder");
    for name in ["test.db", "test.db-wal"] {
        std::fs::copy(directory.path().join(name), copy.path().join(name)).expect("a copy");
    }
    let service = Service::open(&retention::tests::settings(&copy)).await;
    assert_eq!(service.journal_rows().await, 0, "the start folds everything");
    let rows = service.rows().await;
    service.store.close().await;
    rows
}

#[tokio::test]
async fn a_crash_at_each_step_loses_no_use() {
    const KEYS: u128 = 1_200;
    let directory = TempDir::new().expect("a folder");
    let mut service = Service::with_keys(&directory, KEYS, 10).await;
    let mut expected = vec![(Some(10), 0); usize::try_from(KEYS).expect("small")];
    let mut spend = |keys: std::ops::Range<usize>| {
        for (remaining, count) in &mut expected[keys] {
            (*remaining, *count) = (remaining.map(|left| left - 1), *count + 1);
        }
        expected.clone()
    };
    service.use_keys(0..KEYS).await;
    assert_eq!(service.rows().await[0], (Some(10), 0), "the use is in the journal alone");
    assert_eq!(after_a_crash(&directory).await, spend(0..1_200), "after an append");
    service.use_keys(0..700).await;
    let mut now = spend(0..700);
    assert_eq!(after_a_crash(&directory).await, now, "after an append by the memory");
    let mut parts = 0;
    while service.counter.states.unfolded() > 0 {
        service.counter.try_fold_part().await.expect("it folds");
        parts += 1;
        assert_eq!(after_a_crash(&directory).await, now, "after part {parts} of a fold");
        if parts == 2 {
            // Some of these are in a part that was written already.
            let batch = service.counter.store(&requests_for(300..600)).await.expect("the uses are counted");
            assert_eq!(batch.len(), 300);
            now = spend(300..600);
            assert_eq!(after_a_crash(&directory).await, now, "after an append during a fold");
        }
    }
    assert_eq!(parts, 4, "three, and one for what was used meanwhile");
    assert_eq!((service.journal_rows().await, service.rows().await), (0, now), "nothing is left to fold");
    service.store.close().await;
}

/// A request for each of these keys, without a receiver of its answer.
fn requests_for(keys: std::ops::Range<u128>) -> RequestsByKey {
    let request = |n| SpendRequest { key: KeyId::from_uuid(key(n)), version: 1, cost: 1, answer: oneshot::channel().0 };
    keys.map(|n| (key(n), vec![request(n)])).collect()
}

#[tokio::test]
async fn a_change_sees_all_uses_and_the_next_use_sees_the_change() {
    let directory = TempDir::new().expect("a folder");
    let mut service = Service::with_keys(&directory, 3, 10).await;
    assert_eq!(service.use_keys([0, 0, 1]).await, [Used::Left(9), Used::Left(8), Used::Left(9)]);
    service.change(0, "remaining = remaining + 100", true).await;
    assert_eq!(service.use_keys([0]).await, [Used::Left(7)], "a change that was rolled back");
    assert_eq!(after_a_crash(&directory).await[0], (Some(7), 3));
    service.change(0, "remaining = remaining + 100", false).await;
    assert_eq!(service.rows().await[..2], [(Some(107), 3), (Some(9), 1)], "it found every use");
    assert_eq!(service.use_keys([0]).await, [Used::Changed], "a use that was decided before");
    assert_eq!(service.try_use([0, 0], 2).await.expect("counted"), [Used::Left(106), Used::Left(105)]);
    service.change(0, "enabled = false", false).await;
    assert_eq!(service.try_use([0], 2).await.expect("counted"), [Used::Changed]);
    assert_eq!(service.use_keys([1]).await, [Used::Left(8)], "another key");
    service.counter.fold_all().await.expect("it folds");
    assert_eq!(service.rows().await, [(Some(105), 5), (Some(8), 2), (Some(10), 0)]);
    service.store.close().await;
}

#[tokio::test]
async fn a_limit_is_exact_over_folds_changes_and_restarts() {
    let directory = TempDir::new().expect("a folder");
    let mut service = Service::with_keys(&directory, 1, 6).await;
    assert_eq!(service.use_keys([0]).await, [Used::Left(5)]);
    service.counter.is_uncertain = true;
    assert_eq!(service.use_keys([0]).await, [Used::Left(4)], "the memory was not trusted");
    service.counter.fold_all().await.expect("it folds");
    assert_eq!(service.use_keys([0]).await, [Used::Left(3)]);
    // Of the crashed service nothing but the files is left.
    let settings = retention::tests::settings(&directory);
    let mut second = Service::open(&settings).await;
    assert_eq!(second.use_keys([0, 0]).await, [Used::Left(2), Used::Left(1)]);
    assert_eq!(second.use_keys([0, 0]).await, [Used::Left(0), Used::Exhausted]);
    second.counter.close().await;
    assert_eq!(second.rows().await, [(Some(0), 6)]);
    second.store.close().await;
    service.store.close().await;
}

#[tokio::test]
async fn another_process_folds_and_changes_beside_the_service() {
    let directory = TempDir::new().expect("a folder");
    let mut service = Service::with_keys(&directory, 2, 10).await;
    service.use_keys([0, 1]).await;
    // As a command does: it opens the database, and makes a change. Meanwhile the service counts.
    let command = Service::open(&retention::tests::settings(&directory)).await;
    assert_eq!(command.rows().await, [(Some(9), 1), (Some(9), 1)], "what was used before it opened the database");
    service.use_keys([0, 1]).await;
    command.change(0, "remaining = remaining + 5", false).await;
    assert_eq!(command.rows().await, [(Some(13), 2), (Some(8), 2)], "its change found every use");
    assert_eq!(service.use_keys([0, 1]).await, [Used::Changed, Used::Left(7)]);
    command.store.close().await;
    assert_eq!(service.try_use([0], 2).await.expect("counted"), [Used::Left(12)]);
    service.counter.fold_all().await.expect("it folds");
    assert_eq!(service.rows().await, [(Some(12), 3), (Some(7), 3)]);
    service.store.close().await;
}

#[tokio::test]
async fn uses_that_are_added_without_a_version_are_kept() {
    let directory = TempDir::new().expect("a folder");
    let mut service = Service::with_keys(&directory, 2, 10).await;
    service.use_keys([0, 1]).await;
    // Counted before the key was given a limit, and written after it was used.
    let transaction = service.store.database.pools.begin_counting().await.expect("a transaction");
    counter_journal::before_uses_are_added(&transaction, &[key(0)]).await.expect("prepared");
    let add = format!("UPDATE api_keys SET request_count = request_count + 3 WHERE id = X'{}'", key(0).simple());
    transaction.execute_unprepared(&add).await.expect("added");
    transaction.commit().await.expect("committed");
    service.use_keys([0, 1]).await;
    service.counter.fold_all().await.expect("it folds");
    assert_eq!(service.rows().await, [(Some(8), 5), (Some(8), 2)]);
    service.store.close().await;
}

#[tokio::test]
async fn a_damaged_journal_is_refused_at_the_start() {
    let directory = TempDir::new().expect("a folder");
    let mut service = Service::with_keys(&directory, 1, 10).await;
    service.use_keys([0]).await;
    service.execute("UPDATE counter_journal SET entries = entries || X'00'").await;
    service.store.close().await;
    let error = Store::open(&retention::tests::settings(&directory), Access::Existing).await.err().expect("refused");
    assert!(matches!(error, OpenError::Journal(_)), "{error:?}");
    assert!(error.to_string().contains("row 1 of the table counter_journal"), "{error}");
}

#[tokio::test]
async fn at_the_bound_it_folds_first_or_counts_nothing() {
    let directory = TempDir::new().expect("a folder");
    let mut service = Service::with_keys(&directory, 2, 10).await;
    service.use_keys([0]).await;
    service
        .execute("CREATE TRIGGER stop BEFORE UPDATE OF remaining ON api_keys BEGIN SELECT raise(ABORT, 'stop'); END")
        .await;
    service.counter.journal_bytes = MAX_JOURNAL_BYTES;
    service.try_use([1], 1).await.expect_err("it cannot fold");
    assert_eq!((service.journal_rows().await, service.rows().await[1]), (1, (Some(10), 0)), "nothing was counted");
    service.execute("DROP TRIGGER stop").await;
    assert_eq!(service.use_keys([1]).await, [Used::Left(9)]);
    assert_eq!((service.journal_rows().await, service.rows().await[0]), (1, (Some(9), 1)), "folded before");
    assert!(service.counter.journal_bytes < MAX_JOURNAL_BYTES);
    service.store.close().await;
}

#[tokio::test]
async fn an_entry_of_an_earlier_version_or_count_is_not_written() {
    let directory = TempDir::new().expect("a folder");
    let service = Service::with_keys(&directory, 2, 10).await;
    service.execute("UPDATE api_keys SET request_count = 7").await;
    let entry =
        |version, request_count| KeyCounters { version, remaining: Some(1), request_count, ..KeyCounters::default() };
    let write = &service.store.database.pools.write;
    counter_journal::write(write, &[(key(0), entry(0, 8)), (key(1), entry(1, 6))]).await.expect("it runs");
    assert_eq!(service.rows().await, [(Some(10), 7), (Some(10), 7)]);
    counter_journal::write(write, &[(key(0), entry(1, 7)), (key(1), entry(1, 8)), (key(9), entry(1, 8))])
        .await
        .expect("it runs");
    assert_eq!(service.rows().await, [(Some(1), 7), (Some(1), 8)]);
    service.store.close().await;
}

#[tokio::test]
async fn a_backup_of_a_running_service_has_every_use() {
    let directory = TempDir::new().expect("a folder");
    let copy = TempDir::new().expect("a folder");
    let mut service = Service::with_keys(&directory, 3, 10).await;
    service.use_keys([0, 1, 1]).await;
    let file: &Path = &copy.path().join("test.db");
    service.execute(&format!("VACUUM INTO '{}'", file.display())).await;
    service.use_keys([2]).await;
    let second = Service::open(&retention::tests::settings(&copy)).await;
    assert_eq!(second.rows().await, [(Some(9), 1), (Some(8), 2), (Some(10), 0)]);
    second.store.close().await;
    service.store.close().await;
}
