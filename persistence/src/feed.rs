//! The change feed: how a process hears of changes that others made, and for how long it may rely on what it remembers.
//!
//! PostgreSQL: a change is announced in its own transaction (`NOTIFY`), every node listens. Each node also sends itself a
//! beat by the same way; notices arrive in the order of their commits, so a beat that arrives proves that every change
//! committed before it was sent has been heard of. What is remembered may be relied on for a bound after such a beat was
//! *sent*. Past it every key is read anew, until a beat arrives again. Where the connection is lost notices are lost with
//! it: once a new one listens, everything is forgotten.
//!
//! SQLite: one process serves, but the operator may run another for a moment (`claviger bootstrap`). SQLite tells whether
//! somebody else has written (`PRAGMA data_version`, asked on the one connection that we write by).

use std::{sync::Arc, time::Duration};

use sea_orm::{
    ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, Statement, sqlx,
    sqlx::{Connection, PgConnection, postgres::PgListener},
};
use tokio_util::sync::CancellationToken;

use crate::{
    connect::{Pools, require_primary},
    freshness::{Freshness, since_boot},
    imports::Shapes,
    notice::{self, Changed, Notice},
    retry,
    snapshots::Snapshots,
};

const CHANNEL: &str = "claviger_changes";

/// How often SQLite is asked whether somebody else has written.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// Announces what changes with the commit of the transaction that changes it.
///
/// On PostgreSQL it runs at least one statement, which fails where an earlier one has failed: PostgreSQL answers the `COMMIT`
/// of an aborted transaction by rolling back, without an error, and the driver takes that for a commit.
pub(crate) async fn announce(transaction: &DatabaseTransaction, changed: &Changed) -> Result<(), DbErr> {
    if transaction.get_database_backend() == DbBackend::Postgres {
        let payloads = changed.payloads();
        if payloads.is_empty() {
            transaction.execute_unprepared("SELECT 1").await?;
        }
        for payload in payloads {
            transaction.execute_raw(notice(payload)).await?;
        }
    }
    Ok(())
}

fn notice(payload: String) -> Statement {
    let values = [CHANNEL.into(), payload.into()];
    Statement::from_sql_and_values(DbBackend::Postgres, "SELECT pg_notify($1, $2)", values)
}

/// Connections of the feed's own: what users make the pool wait for must not silence it.
struct Connected {
    listener: PgListener,
    /// Sends beats.
    sender: PgConnection,
    /// A name that no other node has.
    node: String,
}

/// The way from the database to what is remembered.
pub(crate) struct Feed {
    pub(crate) url: String,
    pub(crate) pools: Pools,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) freshness: Arc<Freshness>,
    pub(crate) shapes: Arc<Shapes>,
}

impl Feed {
    /// Reads what imported secrets look like. Where that cannot be done, texts of new shapes stay unknown.
    async fn load_shapes(&self) {
        if let Err(failure) = self.shapes.load(&self.pools).await {
            tracing::warn!(target: "claviger", error = %domain::Outage::from(failure), "imported keys may be unknown for a while");
        }
    }

    /// Hears of changes until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let hearing = async {
            match self.freshness.bound() {
                Some(bound) => self.listen(bound).await,
                None => self.ask().await,
            }
        };
        tokio::select! {
            () = hearing => {}
            () = stop.cancelled() => {}
        }
    }

    async fn listen(&self, bound: Duration) {
        let mut pauses = retry::reconnecting();
        loop {
            let error = match self.connect().await {
                Ok(Connected { mut listener, mut sender, node }) => {
                    pauses = retry::reconnecting();
                    // What was read while nobody listened may have changed unheard.
                    self.snapshots.forget_everything();
                    self.load_shapes().await;
                    tracing::info!(target: "claviger", "listening for changes of other nodes");
                    tokio::select! {
                        error = self.hear(&mut listener, &node) => error,
                        error = self.beat(&mut sender, &node, bound / 4) => error,
                        error = self.notice_silence(bound) => error,
                    }
                }
                Err(error) => error,
            };
            tracing::warn!(target: "claviger", %error, "changes of other nodes are not heard of; past the bound every key is read anew");
            tokio::time::sleep(pauses.next().unwrap_or_default()).await;
        }
    }

    async fn connect(&self) -> Result<Connected, sqlx::Error> {
        let connect = async {
            let mut listener = PgListener::connect(&self.url).await?;
            // One that connects by itself would be one whose notices in between are lost.
            listener.eager_reconnect(false);
            listener.listen(CHANNEL).await?;
            let mut sender = PgConnection::connect(&self.url).await?;
            require_primary(&mut sender).await?;
            let node = sqlx::query_scalar("SELECT gen_random_uuid()::text").fetch_one(&mut sender).await?;
            Ok(Connected { listener, sender, node })
        };
        tokio::time::timeout(self.pools.timeout, connect).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    /// Hears until the connection is lost.
    async fn hear(&self, listener: &mut PgListener, node: &str) -> sqlx::Error {
        loop {
            match listener.try_recv().await {
                Ok(Some(notification)) => match Notice::read(notification.payload()) {
                    Notice::Changed(changed) => {
                        self.snapshots.forget(&changed);
                        if changed.shapes {
                            self.load_shapes().await;
                        }
                    }
                    Notice::Everything => {
                        self.snapshots.forget_everything();
                        self.load_shapes().await;
                    }
                    Notice::Beat(sender, sent) if sender == node => self.freshness.hear(sent),
                    Notice::Beat(..) => {}
                },
                Ok(None) => return sqlx::Error::WorkerCrashed,
                Err(error) => return error,
            }
        }
    }

    /// Sends a beat every so often, until one cannot be sent.
    async fn beat(&self, sender: &mut PgConnection, node: &str, every: Duration) -> sqlx::Error {
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let payload = notice::beat(node, since_boot());
            let beat = sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(payload).execute(&mut *sender);
            match tokio::time::timeout(self.pools.timeout, beat).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return error,
                Err(_) => return sqlx::Error::PoolTimedOut,
            }
        }
    }

    /// Ends where no beat has come for long: a connection that is dead without knowing it would be waited on for ever.
    async fn notice_silence(&self, bound: Duration) -> sqlx::Error {
        loop {
            let heard = self.freshness.heard();
            tokio::time::sleep(2 * bound).await;
            if heard == self.freshness.heard() {
                return sqlx::Error::PoolTimedOut;
            }
        }
    }

    async fn ask(&self) {
        let mut known = None;
        loop {
            let statement = Statement::from_string(DbBackend::Sqlite, "PRAGMA data_version");
            let version = self.pools.write.query_one_raw(statement).await.ok().flatten();
            let version: Option<i64> = version.and_then(|row| row.try_get_by_index(0).ok());
            if version.is_none() || known.is_some() && version != known {
                self.snapshots.forget_everything();
            }
            if version != known {
                self.load_shapes().await;
            }
            // What could not be asked leaves the last answer standing: a change in between shows next time.
            known = version.or(known);
            tokio::time::sleep(ASK_EVERY).await;
        }
    }
}
