//! Rows and statements: the domain's ports on SQLite and PostgreSQL, by the same code.
//!
//! A key's row is reached by what is in somebody's reach, but for the lookup by hash and the two workers, who write uses of
//! keys that were looked up by hash before. A method of a port is one statement or one transaction, so nothing is ever half
//! done.

mod accounts;
mod api_keys;
mod claim;
mod connect;
mod convert;
mod entity;
mod ledger;
mod outage;
mod schema;
mod set;
mod usage;

use std::sync::Arc;

use async_trait::async_trait;
pub use claim::{Claim, ClaimError, claim};
pub use connect::Settings;
use domain::{
    Outage,
    clock::Timestamp,
    id::KeyId,
    ports::{Ledger, Usage},
    verdict::Spent,
};
pub use schema::SchemaError;
use sea_orm::DbErr;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{connect::Pools, outage::Failure};

/// The database behind all ports.
#[derive(Clone, Debug)]
pub struct Store {
    pools: Pools,
    ledger: ledger::Queue,
    usage: Arc<usage::Book>,
    workers: TaskTracker,
    stop: CancellationToken,
    ended: CancellationToken,
}

impl Store {
    /// Opens the database and starts the two workers that write uses. An SQLite file that does not exist is made.
    ///
    /// # Errors
    /// The database cannot be reached or refuses us.
    pub async fn connect(settings: &Settings) -> Result<Self, DbErr> {
        let pools = connect::connect(settings).await?;
        let (queue, ledger) = ledger::open(pools.clone(), settings.ledger_clock.clone());
        let usage = Arc::new(usage::Book::default());
        let (workers, stop, ended) = (TaskTracker::new(), CancellationToken::new(), CancellationToken::new());
        // Dropped when a worker ends, however it ends.
        let (one, other) = (ended.clone().drop_guard(), ended.clone().drop_guard());
        let (ledger_stop, usage_stop) = (stop.clone(), stop.clone());
        workers.spawn(async move {
            ledger.run(ledger_stop).await;
            drop(one);
        });
        let (book, usage_pools) = (usage.clone(), pools.clone());
        workers.spawn(async move {
            book.run(usage_pools, usage_stop).await;
            drop(other);
        });
        workers.close();
        Ok(Self { pools, ledger: queue, usage, workers, stop, ended })
    }

    /// Brings the schema up to date.
    ///
    /// # Errors
    /// A statement failed, or the database is newer than this program.
    pub async fn migrate(&self) -> Result<(), SchemaError> {
        schema::migrate(self.pools.begin().await?).await
    }

    /// The name of the newest schema that this program knows.
    #[must_use]
    pub fn schema_version() -> String {
        schema::newest()
    }

    /// Whether the database answers and has the schema that this program needs.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn is_ready(&self) -> Result<bool, Outage> {
        schema::is_current(&self.pools.read).await.map_err(|error| Failure::from(error).into())
    }

    /// Waits until a worker has ended, which without [`Store::close`] only a defect brings about.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Writes what is queued and ends all connections, after what runs on them.
    pub async fn close(&self) {
        self.stop.cancel();
        self.workers.wait().await;
        // A pool that is shared is closed by the first call; neither call can fail in a way that matters now.
        let _ = self.pools.read.clone().close().await;
        let _ = self.pools.write.clone().close().await;
    }
}

#[async_trait]
impl Ledger for Store {
    async fn spend(&self, key: KeyId, version: u64) -> Result<Spent, Outage> {
        self.ledger.spend(key, version).await
    }
}

impl Usage for Store {
    fn verified(&self, key: KeyId, at: Timestamp) {
        self.usage.note(key, 1, at);
    }

    fn authenticated(&self, key: KeyId, at: Timestamp) {
        self.usage.note(key, 0, at);
    }
}
