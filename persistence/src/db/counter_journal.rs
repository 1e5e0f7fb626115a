//! The journal of the ledger on SQLite: folding, which is writing its counters into the rows of their keys.
//!
//! An entry is written only if the row has the version of the entry and no later use, so folding an entry again, or one that a
//! change has overtaken, does nothing.

use std::collections::{BTreeMap, HashSet};

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, Statement, Value, prelude::Uuid};

use crate::{
    db::{
        dialect::{Dialect, bulk_update::BulkUpdate},
        error::DbFailure,
    },
    rows::counter_journal::{self, BrokenJournal, KeyCounters},
};

/// The most keys in one statement.
const MAX_KEYS: usize = 500;

/// Changed keys that are read at once. If there are more, the ledger forgets all states.
pub(crate) const MAX_CHANGED: usize = 10_000;

/// Whether the journal has no rows. So it is on PostgreSQL.
pub(crate) async fn is_empty<C: ConnectionTrait>(db: &C) -> Result<bool, DbErr> {
    if Dialect::of(db).is_shared() {
        return Ok(true);
    }
    let statement = Statement::from_string(DbBackend::Sqlite, "SELECT 1 FROM counter_journal LIMIT 1");
    Ok(db.query_one_raw(statement).await?.is_none())
}

/// The keys that were changed since the ledger looked, at most one more than [`MAX_CHANGED`].
pub(crate) async fn changed_keys(transaction: &DatabaseTransaction) -> Result<HashSet<Uuid>, DbErr> {
    let sql = format!("SELECT key_id FROM changed_counters LIMIT {}", MAX_CHANGED + 1);
    let rows = transaction.query_all_raw(Statement::from_string(DbBackend::Sqlite, sql)).await?;
    rows.iter().map(|row| row.try_get("", "key_id")).collect()
}

/// Folds the whole journal and empties it, as part of a transaction that has begun to write. Does nothing on PostgreSQL.
pub(crate) async fn fold(transaction: &DatabaseTransaction) -> Result<(), DbFailure> {
    if Dialect::of(transaction).is_shared() {
        return Ok(());
    }
    let sql = "SELECT seq, entries FROM counter_journal ORDER BY seq";
    let rows = transaction.query_all_raw(Statement::from_string(DbBackend::Sqlite, sql)).await?;
    if rows.is_empty() {
        return Ok(());
    }
    let mut latest = BTreeMap::new();
    for row in rows {
        let seq = row.try_get("", "seq")?;
        let bytes: Vec<u8> = row.try_get("", "entries")?;
        latest.extend(counter_journal::decode(&bytes).ok_or(DbFailure::Journal(BrokenJournal { seq }))?);
    }
    let latest: Vec<(Uuid, KeyCounters)> = latest.into_iter().collect();
    for keys in latest.chunks(MAX_KEYS) {
        write(transaction, keys).await?;
    }
    transaction.execute_unprepared("DELETE FROM counter_journal").await?;
    Ok(())
}

/// Writes counters into rows.
pub(crate) async fn write<C: ConnectionTrait>(db: &C, keys: &[(Uuid, KeyCounters)]) -> Result<(), DbErr> {
    let column = |value: fn(&KeyCounters) -> Option<i64>| keys.iter().map(|(_, counters)| value(counters)).collect();
    let set = BulkUpdate::new(
        keys.iter().map(|(key, _)| *key).collect(),
        vec![
            ("version", column(|counters| Some(counters.version))),
            ("remaining", column(|counters| counters.remaining)),
            ("last_refill_at", column(|counters| counters.last_refill_at)),
            ("window_start", column(|counters| counters.window_start)),
            ("window_count", column(|counters| Some(counters.window_count))),
            ("requests", column(|counters| Some(counters.request_count))),
            ("last_request_at", column(|counters| counters.last_request_at)),
        ],
    );
    let assignments = "remaining = s.remaining, last_refill_at = s.last_refill_at, window_start = s.window_start, \
                       window_count = s.window_count, request_count = s.requests, \
                       last_request_at = CASE WHEN api_keys.last_request_at > s.last_request_at \
                       THEN api_keys.last_request_at ELSE s.last_request_at END";
    let guard = "AND api_keys.version = s.version AND api_keys.request_count <= s.requests";
    for statement in set.updates(db, assignments, guard) {
        db.execute_raw(statement).await?;
    }
    Ok(())
}

/// Removes the rows of the journal up to this number.
pub(crate) async fn remove_until(transaction: &DatabaseTransaction, seq: u64) -> Result<(), DbErr> {
    let seq = i64::try_from(seq).unwrap_or(i64::MAX);
    let sql = "DELETE FROM counter_journal WHERE seq <= ?";
    let statement = Statement::from_sql_and_values(DbBackend::Sqlite, sql, [seq.into()]);
    transaction.execute_raw(statement).await.map(|_| ())
}

/// Called before uses are added to the rows of these keys without a new version, in the same transaction: their counters are
/// folded, and the ledger reads them again.
pub(crate) async fn before_uses_are_added(transaction: &DatabaseTransaction, keys: &[Uuid]) -> Result<(), DbFailure> {
    let ids: Vec<String> = keys.iter().map(|key| key.simple().to_string()).collect();
    let json = format!("[\"{}\"]", ids.join("\",\""));
    let sql = "INSERT OR IGNORE INTO changed_counters (key_id) SELECT id FROM api_keys \
               WHERE id IN (SELECT unhex(value) FROM json_each(?)) \
               AND (remaining IS NOT NULL OR rate_limit_max IS NOT NULL)";
    let statement = Statement::from_sql_and_values(DbBackend::Sqlite, sql, [Value::from(json)]);
    // Rare: the uses were counted before the key was given a limit.
    if transaction.execute_raw(statement).await?.rows_affected() > 0 {
        fold(transaction).await?;
    }
    Ok(())
}
