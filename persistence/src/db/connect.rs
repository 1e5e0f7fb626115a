//! Opening the database: which pools there are, how large, and with which guarantees.
//!
//! Work that must not wait for other work has connections of its own: verification (cold keys, sessions, sign-in), the
//! ledger, changes, and everything else that reads, which is mostly lists. However many lists run, a verify, a metered use
//! and a change find a connection.
//!
//! SQLite: **one writer**, two readers for verification and four for the rest. SQLite has one writer at a time anyway; with
//! one connection for writing, writes queue in the pool, in order, instead of failing on its lock. The ledger keeps it for up
//! to 5 ms. Readers never wait for the writer (WAL), and a statement on a reader sees everything that was committed before it
//! began. `synchronous=FULL`: acknowledged writes survive a power cut. Writing transactions begin with `BEGIN IMMEDIATE`: one that started as a reader
//! cannot be upgraded once another connection has written.
//!
//! PostgreSQL: the connections of `CLAVIGER_DATABASE_CONNECTIONS` are divided among the pools ([`Shares`]), because the
//! server's `max_connections` is shared by all nodes.
//!
//! **A connection goes back to its pool only outside of a transaction.** SQLite rolls a transaction back by itself when the
//! disk is full or cannot be written; the driver's own `ROLLBACK` fails then, and the driver still counts a transaction that
//! does not exist. Its next transactions would be savepoints that nothing commits: writes would be acknowledged and lost.
//! So the writer is checked when it is released ([`is_outside_of_transaction`]), and closed if it is in a transaction. Readers are
//! not checked: nothing begins a transaction on them.

use std::{path::Path, sync::Arc, time::Duration};

use sea_orm::{
    ConnectOptions, Database, DatabaseConnection, DatabaseTransaction, DbErr, SqliteTransactionMode,
    TransactionOptions, TransactionTrait,
    sqlx::{
        self, Connection, SqliteConnection,
        postgres::PgConnectOptions,
        sqlite::{SqliteJournalMode, SqliteSynchronous},
    },
};

use crate::{
    db::{
        error::DbFailure,
        health::DatabaseHealth,
        postgres::{self, Plans, Use, require_primary},
        retry,
    },
    settings::Settings,
};

/// The connections of a process.
#[derive(Clone, Debug)]
pub(crate) struct Pools {
    /// Changes.
    pub(crate) write: DatabaseConnection,
    /// The ledger, and the counts that are written in the background. On SQLite the same connection as `write`.
    pub(crate) ledger: DatabaseConnection,
    /// Reads of authentication and verification.
    pub(crate) verification: DatabaseConnection,
    /// All other reads.
    pub(crate) read: DatabaseConnection,
    /// Whether the database can be used, as far as this process knows.
    pub(crate) health: Arc<DatabaseHealth>,
    /// How long a worker's transaction may take.
    pub(crate) timeout: Duration,
    /// How long a change may take.
    pub(crate) change_timeout: Duration,
}

impl Pools {
    /// A transaction that makes a change.
    pub(crate) async fn begin(&self) -> Result<DatabaseTransaction, DbErr> {
        begin(&self.write).await
    }

    /// A transaction of the ledger, or of the counts that are written in the background.
    pub(crate) async fn begin_counting(&self) -> Result<DatabaseTransaction, DbErr> {
        begin(&self.ledger).await
    }

    /// Fails if the SQLite file was removed, replaced, truncated or overwritten, so that the next start would not find what was just
    /// committed. On SQLite it is called after each commit and before its acknowledgement; on PostgreSQL it does nothing.
    pub(crate) fn confirm_commit(&self) -> Result<(), DbFailure> {
        self.health.confirm_file().map_err(DbFailure::File)
    }

    /// Closes all connections, after what runs on them.
    pub(crate) async fn close(&self) {
        for pool in [&self.verification, &self.read, &self.ledger, &self.write] {
            // Pools may be the same; closing one again does nothing.
            let _ = pool.clone().close().await;
        }
    }
}

/// A transaction that will write.
async fn begin(pool: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    pool.begin_with_options(options).await
}

/// Connections that read on SQLite, apart from verification.
const SQLITE_READERS: u32 = 4;

/// Connections of verification on SQLite.
const SQLITE_VERIFICATION_READERS: u32 = 2;

/// A connection to PostgreSQL that was not used for so long is tested before it is used: the server may have been restarted
/// meanwhile. To test all would cost a round trip for each statement.
pub(crate) const TESTED_IF_IDLE_FOR: Duration = Duration::from_secs(1);

/// How many of PostgreSQL's connections each pool gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shares {
    verification: u32,
    ledger: u32,
    write: u32,
    read: u32,
}

impl Shares {
    /// Verification and the ledger get one connection each. From ten on, verification gets two, because it runs at most two
    /// statements at a time. The ledger gets three: one for each of its batches, which it keeps, and one for transactions that lock
    /// rows and for the counts that are written in the background.
    /// Changes and other reads get halves of the rest.
    fn of(connections: u32) -> Self {
        let (verification, ledger) = if connections < 10 { (1, 1) } else { (2, 3) };
        let rest = connections.saturating_sub(verification + ledger);
        let write = (rest / 2).max(1);
        Self { verification, ledger, write, read: rest.saturating_sub(write).max(1) }
    }
}

pub(crate) async fn connect(settings: &Settings) -> Result<Pools, DbErr> {
    let (write, ledger, verification, read) = if is_in_memory(&settings.url) {
        let pool = open(settings, 1, false).await?;
        (pool.clone(), pool.clone(), pool.clone(), pool)
    } else if settings.url.starts_with("sqlite:") {
        let write = open(settings, 1, false).await?;
        let verification = open(settings, SQLITE_VERIFICATION_READERS, true).await?;
        let read = open(settings, SQLITE_READERS, true).await?;
        (write.clone(), write, verification, read)
    } else {
        let (shares, server) = (Shares::of(settings.connections), server(settings, Use::Write).await?);
        let connect = |connections, plans| Database::connect(primary(settings, &server, connections, plans));
        // One after the other: if the database is unavailable, the first failure is enough.
        let write = connect(shares.write, Plans::ByIndex).await?;
        let ledger = connect(shares.ledger, Plans::RowByRow).await?;
        let verification = connect(shares.verification, Plans::RowByRow).await?;
        (write, ledger, verification, connect(shares.read, Plans::Any).await?)
    };
    let health = Arc::new(DatabaseHealth::of(&settings.url));
    let (timeout, change_timeout) = (settings.timeout, settings.change_timeout);
    Ok(Pools { write, ledger, verification, read, health, timeout, change_timeout })
}

/// A read-only connection that shares nothing with those of the pools.
pub(crate) async fn open_once(path: &Path) -> Result<DatabaseConnection, DbErr> {
    let mut options = ConnectOptions::new(format!("sqlite://{}?mode=ro", path.display()));
    options.max_connections(1).sqlx_logging(false).record_stmt_in_spans(false);
    Database::connect(options).await
}

/// Read-only pools. An SQLite file must exist.
pub(crate) async fn connect_read_only(settings: &Settings) -> Result<Pools, DbErr> {
    let pool = if is_in_memory(&settings.url) {
        open(settings, 1, false).await?
    } else if settings.url.starts_with("sqlite:") {
        let mut options = common(settings, ConnectOptions::new(&settings.url), SQLITE_READERS);
        options.map_sqlx_sqlite_opts(|options| options.create_if_missing(false).pragma("query_only", "on"));
        let connect = || Database::connect(options.clone());
        retry::retry_while_locked(settings.timeout, connect).await?
    } else {
        let server = server(settings, Use::Read).await?;
        let mut options = common(settings, postgres::pool(&server), settings.connections);
        let timeout = settings.timeout;
        options.map_sqlx_postgres_pool_opts(move |options| {
            options.after_connect(move |connection, _| {
                Box::pin(postgres::in_time(timeout, async move {
                    sqlx::query("SET default_transaction_read_only = on").execute(connection).await.map(|_| ())
                }))
            })
        });
        Database::connect(options).await?
    };
    let (timeout, change_timeout) = (settings.timeout, settings.change_timeout);
    let health = Arc::new(DatabaseHealth::of(&settings.url));
    let (write, ledger, verification) = (pool.clone(), pool.clone(), pool.clone());
    Ok(Pools { write, ledger, verification, read: pool, health, timeout, change_timeout })
}

pub(crate) fn is_in_memory(url: &str) -> bool {
    url.contains(":memory:") || url.contains("mode=memory")
}

fn common(settings: &Settings, mut options: ConnectOptions, connections: u32) -> ConnectOptions {
    options
        .max_connections(connections)
        .min_connections(1)
        .connect_timeout(settings.timeout)
        .acquire_timeout(settings.timeout)
        // Statements contain hashes and addresses, which must not be logged.
        .sqlx_logging(false)
        .record_stmt_in_spans(false);
    options
}

/// How to connect to the PostgreSQL server of the settings, after checking that it can be used.
async fn server(settings: &Settings, wanted: Use) -> Result<PgConnectOptions, DbErr> {
    let server = postgres::options(&settings.url)?;
    // Boxed, because every future that opens a database contains this one.
    Box::pin(postgres::check(&server, settings.timeout, settings.timeout, wanted)).await?;
    Ok(server)
}

fn primary(settings: &Settings, server: &PgConnectOptions, connections: u32, plans: Plans) -> ConnectOptions {
    let timeout = settings.timeout;
    let mut options = common(settings, postgres::pool(server), connections);
    options
        .test_before_acquire_if_idle_for(TESTED_IF_IDLE_FOR)
        // The pool tests a released connection, but without a time limit: one that died silently would occupy the pool until the
        // operating system notices, for a quarter of an hour. So it is tested before that, with a time limit. The request has got
        // its response by then.
        .map_sqlx_postgres_pool_opts(move |options| {
            // Behind a pooler without a free connection, the first statement would wait for as long as the pooler lets it.
            let options = options.after_connect(move |connection, _| {
                Box::pin(postgres::in_time(timeout, async move {
                    require_primary(connection).await?;
                    plans.set(connection).await
                }))
            });
            options.after_release(move |connection, _| {
                // Not a ping: if a `BEGIN` was cancelled, the server is in a transaction that the driver does not know of
                // (https://github.com/launchbadge/sqlx/issues/4385). The next statement would not be committed.
                let test = sqlx::raw_sql("BEGIN; ROLLBACK").execute(connection);
                Box::pin(async move { postgres::in_time(timeout, test).await.map(|_| true) })
            })
        });
    options
}

/// Opens a pool of an SQLite file. Retries while another process is opening or closing the file: setting the journal mode fails at
/// once if the file is locked, without the busy timeout of other statements.
async fn open(settings: &Settings, connections: u32, query_only: bool) -> Result<DatabaseConnection, DbErr> {
    let connect = || Database::connect(sqlite(settings, connections, query_only));
    retry::retry_while_locked(settings.timeout, connect).await
}

fn sqlite(settings: &Settings, connections: u32, query_only: bool) -> ConnectOptions {
    let busy_timeout = settings.timeout;
    let mut options = common(settings, ConnectOptions::new(&settings.url), connections);
    options
        // A connection to a file does not break, so it is neither tested nor closed when it is idle.
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
        .map_sqlx_sqlite_opts(move |options| {
            let options = options
                .create_if_missing(!query_only)
                .foreign_keys(true)
                .busy_timeout(busy_timeout)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                // Uses are written to the same pages repeatedly: a large page cache (KiB), and few checkpoints (pages).
                .pragma("cache_size", if query_only { "-8192" } else { "-65536" })
                .pragma("wal_autocheckpoint", "8000");
            if query_only { options.pragma("query_only", "on") } else { options }
        })
        .map_sqlx_sqlite_pool_opts(move |options| {
            if query_only {
                // Nothing begins a transaction on a reader.
                return options;
            }
            options.after_release(|connection, _| Box::pin(is_outside_of_transaction(connection)))
        });
    options
}

/// Whether a released connection is outside of a transaction, by SQLite, which refuses a `BEGIN` in one, and by the driver's count,
/// which can be wrong after SQLite has rolled back by itself. If not, the pool closes it and opens another one.
async fn is_outside_of_transaction(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    // Statements run in order, so a rollback that the driver has queued has run before these.
    let probe = sqlx::raw_sql("BEGIN; ROLLBACK").execute(&mut *connection).await;
    let is_clean = probe.is_ok() && !connection.is_in_transaction();
    if !is_clean {
        tracing::warn!(target: "claviger", "a database connection was left inside a transaction; it is replaced");
    }
    Ok(is_clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lists_that_take_all_their_connections_leave_those_of_verification_and_changes() {
        let directory = tempfile::TempDir::new().expect("a folder");
        let pools = connect(&crate::retention::tests::settings(&directory)).await.expect("a new database");
        let read = pools.read.get_sqlite_connection_pool();
        let mut taken = Vec::new();
        for _ in 0..SQLITE_READERS {
            taken.push(read.acquire().await.expect("a connection"));
        }
        assert!(read.try_acquire().is_none(), "all are taken");
        for pool in [&pools.verification, &pools.write] {
            assert!(pool.get_sqlite_connection_pool().try_acquire().is_some());
        }
        drop(taken);
        pools.close().await;
    }

    #[test]
    fn every_postgresql_pool_has_a_connection() {
        let shares = |verification, ledger, write, read| Shares { verification, ledger, write, read };
        assert_eq!(Shares::of(4), shares(1, 1, 1, 1));
        assert_eq!(Shares::of(5), shares(1, 1, 1, 2));
        assert_eq!(Shares::of(10), shares(2, 3, 2, 3));
        for connections in 4..100 {
            let Shares { verification, ledger, write, read } = Shares::of(connections);
            assert_eq!(verification + ledger + write + read, connections);
        }
    }
}
