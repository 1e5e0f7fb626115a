//! The change feed: how a process is notified of changes by other processes, and how long it may use its cache without a heartbeat.
//!
//! PostgreSQL: each change is announced in its own transaction (`NOTIFY`), and every node listens. Each node also sends itself
//! heartbeats on the same channel. Notifications arrive in the order of their commits, so when a heartbeat arrives, the notification
//! of every change that was committed before it was sent has arrived. The cache may be used for the staleness bound after the
//! time at which such a heartbeat was *sent*. Later than that every key is read from the database, until a heartbeat arrives
//! again. When the connection is lost, notifications are lost with it: as soon as a new one listens, the cache is cleared.
//!
//! SQLite: one process serves, but the operator may run another command for a moment (`claviger bootstrap`). `PRAGMA data_version`
//! shows whether another connection has written. It is polled on the one connection of this process that writes.

use std::{io, sync::Arc, time::Duration};

use sea_orm::{
    ConnectionTrait, DatabaseTransaction, DbErr, sqlx,
    sqlx::{
        AssertSqlSafe, Connection, PgConnection,
        postgres::{PgListener, PgPoolOptions},
    },
};

use crate::{
    db::{
        connect::Pools,
        dialect::{self, CHANNEL_SQL, Dialect},
        postgres::{self, require_primary},
        retry,
    },
    key_cache::{
        KeyCache,
        key_formats::KeyFormatRegistry,
        notification::{self, Invalidations, Notification},
        staleness::{Staleness, since_boot},
    },
    workers::Workers,
};

/// From one poll of SQLite to the next.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Announces what changes to the other nodes, when the transaction commits.
///
/// On PostgreSQL it runs at least one statement, which fails if an earlier one has failed: PostgreSQL answers the `COMMIT` of an
/// aborted transaction by rolling back without an error, and the driver takes that for a commit.
pub(crate) async fn announce(transaction: &DatabaseTransaction, changed: &Invalidations) -> Result<(), DbErr> {
    if Dialect::of(transaction).is_shared() {
        let payloads = changed.payloads();
        if payloads.is_empty() {
            transaction.execute_unprepared("SELECT 1").await?;
        }
        for statement in dialect::notify(&payloads) {
            transaction.execute_raw(statement).await?;
        }
    }
    Ok(())
}

/// Connections outside of the pools, so that requests which exhaust a pool do not delay heartbeats.
struct Connected {
    listener: PgListener,
    /// Sends heartbeats.
    sender: PgConnection,
    channel: String,
    /// A random name of this connection, by which a node recognizes its own heartbeats.
    node: String,
}

/// Invalidates the caches of this process when others change the database.
pub(crate) struct ChangeFeed {
    pub(crate) url: String,
    pub(crate) pools: Pools,
    pub(crate) key_cache: Arc<KeyCache>,
    pub(crate) staleness: Arc<Staleness>,
    pub(crate) key_formats: Arc<KeyFormatRegistry>,
}

impl ChangeFeed {
    /// Starts the worker that listens or polls.
    pub(crate) fn spawn(self, workers: &Workers) {
        let stop = workers.stop.clone();
        workers.spawn(async move {
            let run = async {
                match self.staleness.bound() {
                    Some(bound) => self.run_postgres(bound).await,
                    None => self.run_sqlite().await,
                }
            };
            tokio::select! {
                () = run => {}
                () = stop.cancelled() => {}
            }
        });
    }

    async fn invalidate_all(&self) {
        self.key_cache.invalidate_all();
        self.key_formats.load_or_warn(&self.pools).await;
    }

    async fn run_postgres(&self, bound: Duration) {
        let mut backoff = retry::reconnect_backoff();
        loop {
            let error = match self.connect().await {
                Ok(Connected { mut listener, mut sender, channel, node }) => {
                    backoff = retry::reconnect_backoff();
                    // The notifications of changes during the interruption were lost.
                    self.invalidate_all().await;
                    tracing::info!(target: "claviger", "change feed connected");
                    tokio::select! {
                        error = self.listen(&mut listener, &node) => error.to_string(),
                        error = self.heartbeat(&mut sender, &channel, &node, bound / 4) => error.to_string(),
                        error = self.watch_staleness(bound) => error.to_string(),
                    }
                }
                Err(error) => error.to_string(),
            };
            tracing::warn!(target: "claviger", %error, "change feed disconnected; after the staleness bound the cache is bypassed");
            tokio::time::sleep(backoff.next().unwrap_or_default()).await;
        }
    }

    async fn connect(&self) -> Result<Connected, DbErr> {
        let options = postgres::options(&self.url)?;
        let connect = async {
            // Without a pool, so that the error of an unavailable server has the reason.
            let mut sender = PgConnection::connect_with(&options).await?;
            require_primary(&mut sender).await?;
            let sql = format!("SELECT {CHANNEL_SQL}, gen_random_uuid()::text");
            let (channel, node): (String, String) = sqlx::query_as(AssertSqlSafe(sql)).fetch_one(&mut sender).await?;
            // A listener needs a pool. One connection of it is used, for as long as it lasts.
            let pool = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
            let mut listener = PgListener::connect_with(&pool.connect_with(options.clone()).await?).await?;
            listener.ignore_pool_close_event(true);
            // A listener that reconnects by itself would lose the notifications in between without an error.
            listener.eager_reconnect(false);
            listener.listen(&channel).await?;
            Ok(Connected { listener, sender, channel, node })
        };
        postgres::in_time(self.pools.timeout, connect)
            .await
            .map_err(|error| postgres::failed(&postgres::reason(&error)))
    }

    /// Handles notifications until the connection is lost.
    async fn listen(&self, listener: &mut PgListener, node: &str) -> sqlx::Error {
        loop {
            match listener.try_recv().await {
                Ok(Some(received)) => match Notification::parse(received.payload()) {
                    Notification::Invalidate(changed) => {
                        self.key_cache.invalidate(&changed);
                        if changed.key_formats {
                            self.key_formats.load_or_warn(&self.pools).await;
                        }
                    }
                    Notification::InvalidateAll => self.invalidate_all().await,
                    Notification::Heartbeat { node: sender, sent_at } if sender == node => {
                        self.staleness.record_heartbeat(sent_at);
                    }
                    Notification::Heartbeat { .. } => {}
                },
                Ok(None) => return sqlx::Error::WorkerCrashed,
                Err(error) => return error,
            }
        }
    }

    /// Sends heartbeats until one cannot be sent.
    async fn heartbeat(&self, sender: &mut PgConnection, channel: &str, node: &str, every: Duration) -> sqlx::Error {
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let payload = notification::heartbeat(node, since_boot());
            let send = sqlx::query("SELECT pg_notify($1, $2)").bind(channel).bind(payload).execute(&mut *sender);
            if let Err(error) = postgres::in_time(self.pools.timeout, send).await {
                return error;
            }
        }
    }

    /// Returns if no heartbeat has arrived for twice the staleness bound: the operating system may take very long to report a
    /// connection that has died silently.
    async fn watch_staleness(&self, bound: Duration) -> sqlx::Error {
        loop {
            let before = self.staleness.last_heartbeat();
            tokio::time::sleep(2 * bound).await;
            if before == self.staleness.last_heartbeat() {
                return sqlx::Error::Io(io::Error::other("no heartbeat has arrived"));
            }
        }
    }

    async fn run_sqlite(&self) {
        let mut known = None;
        loop {
            let version = dialect::sqlite_data_version(&self.pools.write).await;
            if version.is_none() || known.is_some() && version != known {
                self.key_cache.invalidate_all();
            }
            if version != known {
                self.key_formats.load_or_warn(&self.pools).await;
            }
            // After a failed poll the version before it is kept, so that the next poll finds a change in between.
            known = version.or(known);
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}
