//! A full disk, simulated by limiting the pages that SQLite may use: writes that are acknowledged afterwards are in the file.

use std::{sync::Arc, time::Duration};

use domain::{Error, bounds::Bounds, clock::Timestamp};
use prometheus::Registry;
use sea_orm::{ConnectionTrait, Database, Statement};
use tempfile::TempDir;

use super::*;
use crate::{CacheSize, RetentionPeriods, Settings, Store, settings::DefaultCaps};

#[derive(Debug)]
struct FixedClock;

impl domain::clock::Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(0)
    }
}

async fn store(directory: &TempDir) -> (Store, String) {
    let url = format!("sqlite://{}/test.db", directory.path().display());
    let day = Duration::from_hours(24);
    let settings = Settings {
        url: url.clone(),
        connections: 4,
        ledger_clock: Some(Arc::new(FixedClock)),
        timeout: Duration::from_secs(5),
        change_timeout: Duration::from_secs(5),
        staleness_bound: Duration::from_secs(2),
        clock: Arc::new(FixedClock),
        retention: RetentionPeriods {
            deleted_keys: day,
            deleted_organizations: day,
            audit: day,
            usage: day,
            idle_sessions: day,
        },
        caps: DefaultCaps { keys: 1, members: 1, sets: 1, changes: 100 },
        bounds: Bounds::default(),
        cache: CacheSize { keys: 0, bytes: 0 },
        registry: Registry::new(),
    };
    let store = Store::connect(&settings).await.expect("a new database");
    store.migrate().await.expect("a new schema");
    (store, url)
}

/// Adds a row in a transaction. With `refused` the transaction then fails.
async fn add(store: &Store, id: i64, bytes: usize, refused: bool) -> Result<(), DbFailure> {
    let sql = format!("INSERT INTO write_probes (id, writes, filler) VALUES ({id}, 1, zeroblob({bytes}))");
    let add = store.database.transaction(move |transaction, _| {
        let sql = sql.clone();
        Box::pin(async move {
            transaction.execute_unprepared(&sql).await?;
            if refused { Err(DbFailure::Refused(Error::NotFound)) } else { Ok(()) }
        })
    });
    add.await
}

/// The rows that are in the file, read by another connection.
async fn stored(url: &str) -> Vec<i64> {
    let other = Database::connect(url).await.expect("the file");
    let statement = Statement::from_string(other.get_database_backend(), "SELECT id FROM write_probes ORDER BY id");
    let rows = other.query_all_raw(statement).await.expect("rows");
    other.close().await.expect("closed");
    rows.iter().map(|row| row.try_get("", "id").expect("a number")).collect()
}

#[tokio::test]
async fn a_write_acknowledged_after_a_full_disk_is_stored() {
    let directory = TempDir::new().expect("a directory");
    let (store, url) = store(&directory).await;
    for round in 0..5 {
        let id = 10 * round + 10;
        store
            .database
            .pools
            .write
            .execute_unprepared("PRAGMA max_page_count = 1")
            .await
            .expect("the limit is at least the current size");
        let full = add(&store, id, 1 << 20, false).await.expect_err("there is no room");
        assert!(full.storage_fault().is_some(), "{full}");
        let refused = add(&store, id + 1, 1, true).await;
        assert!(matches!(refused, Err(DbFailure::Refused(_))), "{refused:?}");
        add(&store, id + 2, 1, false).await.expect("a new connection without the limit");
        add(&store, id + 3, 1, false).await.expect("another write on that connection");
    }
    let expected: Vec<i64> = (0..5).flat_map(|round| [10 * round + 12, 10 * round + 13]).collect();
    assert_eq!(stored(&url).await, expected);
    store.close().await;
}

#[tokio::test]
async fn a_transaction_with_an_ignored_error_is_not_acknowledged() {
    let directory = TempDir::new().expect("a directory");
    let (store, url) = store(&directory).await;
    store
        .database
        .pools
        .write
        .execute_unprepared("PRAGMA max_page_count = 1")
        .await
        .expect("the limit is at least the current size");
    let broken = store.database.transaction(|transaction, _| {
        Box::pin(async move {
            let large = "INSERT INTO write_probes (id, writes, filler) VALUES (1, 1, zeroblob(1048576))";
            // SQLite rolls back by itself. The error is ignored here, as defective code would do.
            let _ = transaction.execute_unprepared(large).await;
            Ok(())
        })
    });
    broken.await.expect_err("there is no transaction to commit");
    add(&store, 2, 1, false).await.expect("a new connection");
    assert_eq!(stored(&url).await, [2]);
    store.close().await;
}
