//! Rows and statements: the domain's ports on SQLite and PostgreSQL, by the same code.
//!
//! A key's row is reached by what is in somebody's reach, but for the lookup by hash and the two workers that write uses of
//! keys that were looked up by hash before. A method of a port is one statement or one transaction, so nothing is ever half
//! done.

mod accounts;
mod api_keys;
mod audit;
mod better_auth;
mod claim;
mod clocks;
mod connect;
mod convert;
mod deleted;
mod deletion;
mod effective;
mod entity;
mod families;
mod feed;
mod figures;
mod freshness;
mod health;
mod imports;
mod last_admin;
mod ledger;
mod listing;
mod members;
mod notice;
mod open;
mod organizations;
mod outage;
mod people;
mod pieces;
mod reach;
mod removal;
mod repeats;
mod retention;
mod retry;
mod rotation;
mod schema;
mod sessions;
mod set;
mod sets;
mod settings;
mod snapshots;
mod states;
mod transaction;
mod usage;
mod waiting;
mod widening;

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use async_trait::async_trait;
pub use better_auth::better_auth_keys;
pub use claim::{Claim, ClaimError, beside, claim};
use domain::{
    Outage,
    bounds::Bounds,
    clock::Timestamp,
    id::KeyId,
    ports::{self, Ledger, Recalled, Usage},
    secret::SecretHash,
    snapshot::Snapshot,
    usage::Outcome,
    verdict::Spent,
};
pub use open::{Access, OpenError};
pub use retention::{Hold, Kind, Purge, RetentionRun};
pub use schema::SchemaError;
use sea_orm::{DbBackend, DbErr};
pub use settings::{CacheSize, DefaultCaps, Retention, Settings};
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    clocks::Clocks,
    connect::Pools,
    feed::Feed,
    figures::Figures,
    freshness::Freshness,
    notice::Changed,
    snapshots::{READERS, Snapshots},
    states::States,
};

/// The database behind all ports.
#[derive(Clone)]
pub struct Store {
    pools: Pools,
    caps: DefaultCaps,
    bounds: Bounds,
    retention: Retention,
    clocks: Clocks,
    held: retention::Held,
    snapshots: Arc<Snapshots>,
    freshness: Arc<Freshness>,
    ledger: ledger::Queue,
    usage: Arc<usage::Book>,
    notables: Arc<audit::Book>,
    shapes: Arc<imports::Shapes>,
    /// Whether no further requests that are done once can be noted.
    has_all_requests: Arc<AtomicBool>,
    /// Wakes the worker that removes what is deleted.
    removals: Arc<Notify>,
    workers: TaskTracker,
    stop: CancellationToken,
    ended: CancellationToken,
}

impl Store {
    /// Opens the database and starts the workers: those that read keys, the one that hears of changes, and the two that
    /// write uses. An SQLite file that does not exist is made.
    ///
    /// # Errors
    /// The database cannot be reached or refuses us.
    pub async fn connect(settings: &Settings) -> Result<Self, DbErr> {
        Ok(Self::on(connect::connect(settings).await?, settings, Access::Prepare))
    }

    /// The store on these pools. Where nothing is to be written, the workers that write do not run.
    fn on(pools: Pools, settings: &Settings, access: Access) -> Self {
        let usage = Arc::new(usage::Book::beside(settings.cache.bytes));
        let is_shared = pools.write.get_database_backend() == DbBackend::Postgres;
        let freshness = if is_shared { Freshness::within(settings.staleness_bound) } else { Freshness::always() };
        let freshness = Arc::new(freshness);
        let figures = Figures::new();
        let snapshots = Arc::new(Snapshots::new(settings.cache, freshness.clone(), &figures));
        let clocks = Clocks::new(settings.clock.clone(), is_shared && settings.ledger_clock.is_none());
        let held = retention::Held::default();
        let states = States::new(pools.clone(), snapshots.clone(), freshness.clone(), clocks.clone(), held.clone());
        let registered = figures.register(&settings.registry);
        let registered = registered.and_then(|()| settings.registry.register(Box::new(states)));
        registered.expect("a registry has room for one database");
        let clock = settings.ledger_clock.clone();
        let (queue, ledger) = ledger::open(pools.clone(), clock, snapshots.clone(), figures);
        let (workers, stop, ended) = (TaskTracker::new(), CancellationToken::new(), CancellationToken::new());
        for place in 0..READERS {
            watched(&workers, &ended, snapshots.clone().run(place, pools.clone(), stop.clone()));
        }
        let shapes = Arc::new(imports::Shapes::default());
        let feed = Feed {
            url: settings.url.clone(),
            pools: pools.clone(),
            snapshots: snapshots.clone(),
            freshness: freshness.clone(),
            shapes: shapes.clone(),
        };
        if access != Access::ReadOnly {
            watched(&workers, &ended, feed.run(stop.clone()));
            watched(&workers, &ended, ledger.run(stop.clone()));
            watched(&workers, &ended, usage.clone().run(pools.clone(), stop.clone()));
            watched(&workers, &ended, pools.health.clone().monitor(pools.clone(), stop.clone()));
        }
        let store = Self {
            pools,
            caps: settings.caps,
            bounds: settings.bounds,
            retention: settings.retention,
            clocks,
            held,
            snapshots,
            freshness,
            ledger: queue,
            usage,
            notables: Arc::default(),
            shapes,
            has_all_requests: Arc::default(),
            removals: Arc::default(),
            workers: workers.clone(),
            stop: stop.clone(),
            ended: ended.clone(),
        };
        if access != Access::ReadOnly {
            watched(&workers, &ended, store.clone().keep_book(stop.clone()));
        }
        if access != Access::ReadOnly && store.clocks.has_database_clock() {
            watched(&workers, &ended, store.clone().watch_clock(stop));
        }
        workers.close();
        store
    }

    /// Brings the schema up to date.
    ///
    /// # Errors
    /// A statement failed, or the database is newer than this program.
    pub async fn migrate(&self) -> Result<(), SchemaError> {
        schema::migrate(&self.pools).await?;
        self.load_shapes().await
    }

    /// Reads what imported secrets look like.
    async fn load_shapes(&self) -> Result<(), SchemaError> {
        match self.shapes.load(&self.pools).await {
            Err(outage::Failure::Database(error)) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// The name of the newest schema that this program knows.
    #[must_use]
    pub fn schema_version() -> String {
        schema::newest()
    }

    /// Whether the database can be read, has the schema that this program needs, and can be written.
    ///
    /// # Errors
    /// The database cannot be read or written.
    pub async fn is_ready(&self) -> Result<bool, Outage> {
        self.pools.health.probe(&self.pools).await.map_err(|failure| Outage::Unavailable(Box::new(failure)))
    }

    /// The same at a start, when nothing that was found before serves.
    ///
    /// # Errors
    /// The database cannot be read or written.
    pub async fn is_ready_now(&self) -> Result<bool, Outage> {
        self.pools.health.probe_anew(&self.pools).await.map_err(|failure| Outage::Unavailable(Box::new(failure)))
    }

    /// Takes note of a failure that was told to a request: it may be the first sign of a storage that fails.
    pub fn observe(&self, outage: &Outage) {
        self.pools.health.observe_outage(outage);
    }

    /// Forgets every key that is remembered, after a change that was not made through this value.
    pub fn forget_everything(&self) {
        self.snapshots.forget_everything();
    }

    /// How old what is remembered may be, while it is relied on although nothing has been heard of the changes of others for
    /// longer than usual.
    #[must_use]
    pub fn silence(&self) -> Option<Duration> {
        self.freshness.silence()
    }

    /// How many statements that read lists and other things can run at once.
    #[must_use]
    pub fn read_connections(&self) -> u32 {
        let read = &self.pools.read;
        match read.get_database_backend() {
            DbBackend::Postgres => read.get_postgres_connection_pool().options().get_max_connections(),
            _ => read.get_sqlite_connection_pool().options().get_max_connections(),
        }
    }

    /// Waits until a worker has ended, which without [`Store::close`] only a defect brings about.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Writes what is queued and ends all connections, after what runs on them.
    pub async fn close(&self) {
        self.stop.cancel();
        self.workers.wait().await;
        self.pools.close().await;
    }
}

#[async_trait]
impl Ledger for Store {
    async fn spend(&self, key: KeyId, version: u64, cost: u64) -> Result<Spent, Outage> {
        self.ledger.spend(key, version, cost).await
    }
}

impl Usage for Store {
    fn gather(&self, key: Arc<Snapshot>, stored: u64) {
        self.usage.gather(key, stored);
    }

    fn count(&self, key: &Snapshot, outcome: Outcome, at: Timestamp) {
        self.usage.count(key, outcome, at);
    }
}

#[async_trait]
impl ports::Snapshots for Store {
    fn recall(&self, hash: &SecretHash) -> Recalled {
        self.snapshots.recall(hash)
    }

    async fn read(&self, hash: &SecretHash) -> Result<Option<Arc<Snapshot>>, Outage> {
        self.snapshots.read(hash).await
    }

    fn forget(&self, hash: &SecretHash) {
        self.snapshots.forget(&Changed { keys: vec![*hash], ..Changed::default() });
    }
}

/// Runs a worker. However it ends, `ended` is told.
fn watched(workers: &TaskTracker, ended: &CancellationToken, worker: impl Future<Output = ()> + Send + 'static) {
    let guard = ended.clone().drop_guard();
    workers.spawn(async move {
        worker.await;
        drop(guard);
    });
}
