//! The domain's ports on SQLite and PostgreSQL, by the same code.
//!
//! A key's row is only reached within a [`domain::keys::key_scope::KeyScope`], except for the lookup by the hash of a secret and
//! the two workers that write uses of keys which were found that way. A method of a port is one statement or one transaction, so
//! a change is stored completely or not at all.

mod accounts;
mod api_keys;
mod audit;
mod better_auth;
mod change_feed;
mod counter_states;
mod database;
mod db;
mod idempotency;
mod identity;
mod key_cache;
mod ledger;
mod metrics;
mod organizations;
mod policy_worker;
mod retention;
mod retention_periods;
mod rows;
mod settings;
mod state_collector;
mod usage;
mod workers;

use std::{sync::Arc, time::Duration};

use domain::{Outage, clock::Timestamp};
use sea_orm::DbErr;

pub use crate::{
    api_keys::import::ImportStore,
    audit::AuditStore,
    better_auth::better_auth_keys,
    database::Database,
    db::{
        open::{Access, OpenError},
        process_lock::{ProcessLock, ProcessLockError, database_file, lock_database, with_suffix},
        schema::SchemaError,
    },
    idempotency::IdempotencyStore,
    key_cache::KeyCache,
    ledger::Ledger,
    retention::{Hold, Kind, Purge, RetentionRun},
    retention_periods::RetentionPeriods,
    settings::{CacheSize, DefaultCaps, Settings},
    usage::UsageBuffer,
};
use crate::{
    audit::Signer,
    change_feed::ChangeFeed,
    counter_states::CounterStates,
    db::{
        clocks::Clocks,
        connect::{self, Pools},
        dialect::Dialect,
        planner_statistics, schema,
    },
    key_cache::staleness::Staleness,
    metrics::counters::Counters,
    retention::Retention,
    state_collector::StateCollector,
    workers::Workers,
};

/// Directives for the log. An operator does not need the lines at `info` about each migration and about each table that exists
/// already: the service logs the version of the schema.
pub const LOG_DIRECTIVES: &str = "sea_orm_migration=warn,sqlx::postgres::notice=warn";

/// An open database with its background workers, by parts. Each part implements the ports that belong to it. Clones share them.
#[derive(Clone)]
pub struct Store {
    /// Keys, organizations, members, permission sets, identities, sessions, token groups, and usage by hour.
    pub database: Arc<Database>,
    /// Keys by the hashes of their secrets.
    pub key_cache: Arc<KeyCache>,
    /// Exact counts of metered keys.
    pub ledger: Arc<Ledger>,
    /// Counts that are written in the background.
    pub usage: Arc<UsageBuffer>,
    /// Audit logs, and denied attempts that are written in the background.
    pub audit: Arc<AuditStore>,
    /// Imported keys.
    pub imports: Arc<ImportStore>,
    /// Idempotency records.
    pub idempotency: Arc<IdempotencyStore>,
    retention: Arc<Retention>,
    staleness: Arc<Staleness>,
}

impl Store {
    /// Opens a database whose schema is current afterwards, and starts the workers that `access` allows.
    ///
    /// # Errors
    /// The database does not exist, cannot be reached, or has a schema that this program cannot use.
    pub async fn open(settings: &Settings, access: Access) -> Result<Self, OpenError> {
        let pools = db::open::open_pools(settings, access).await?;
        let store = Self::start(&pools, settings, access);
        if let Err(error) = store.imports.load_key_formats().await {
            store.close().await;
            return Err(error.into());
        }
        Ok(store)
    }

    /// Opens a database without looking at its schema, and starts all workers but retention. An SQLite file that does not exist is
    /// created.
    ///
    /// # Errors
    /// The database cannot be reached, or refuses the connection.
    pub async fn connect(settings: &Settings) -> Result<Self, DbErr> {
        Ok(Self::start(&connect::connect(settings).await?, settings, Access::Prepare))
    }

    /// The parts of a store on these pools. With [`Access::ReadOnly`] the workers that write do not run.
    fn start(pools: &Pools, settings: &Settings, access: Access) -> Self {
        let (workers, counters) = (Workers::default(), Counters::new());
        let is_shared = Dialect::of(&pools.write).is_shared();
        let staleness = if is_shared { Staleness::within(settings.staleness_bound) } else { Staleness::always() };
        let staleness = Arc::new(staleness);
        let key_cache = Arc::new(KeyCache::new(settings.cache, staleness.clone(), &counters));
        let clocks = Clocks::new(settings.clock.clone(), is_shared && settings.ledger_clock.is_none());
        let counter_states = Arc::new(CounterStates::new());
        let (ledger, ledger_writer) =
            ledger::open(pools.clone(), settings, key_cache.clone(), counter_states.clone(), &counters);
        let usage = Arc::new(UsageBuffer::new(settings.cache.bytes, ledger.waiting()));
        let database = Arc::new(Database {
            pools: pools.clone(),
            clocks: clocks.clone(),
            caps: settings.caps,
            bounds: settings.bounds,
            retention: settings.retention,
            turns: Arc::default(),
            key_cache: key_cache.clone(),
            counter_states,
            workers: workers.clone(),
            session_uses: Arc::default(),
            removals: tokio::sync::Notify::new(),
        });
        let audit = Arc::new(AuditStore::new(database.clone()));
        let imports = Arc::new(ImportStore::new(database.clone()));
        let idempotency = Arc::new(IdempotencyStore::new(database.clone()));
        let retention = Arc::new(Retention::new(database.clone(), audit.clone(), idempotency.clone()));
        let states = StateCollector::new(&database, staleness.clone(), retention.held(), audit.broken_logs());
        let registered = counters.register(&settings.registry);
        let registered = registered.and_then(|()| settings.registry.register(Box::new(states)));
        registered.expect("a registry has room for one database");
        key_cache.spawn(pools, &workers);
        if access != Access::ReadOnly {
            let feed = ChangeFeed {
                url: settings.url.clone(),
                pools: pools.clone(),
                key_cache: key_cache.clone(),
                staleness: staleness.clone(),
                key_formats: imports.key_formats(),
            };
            feed.spawn(&workers);
            ledger_writer.spawn(&workers);
            usage.spawn(pools, &workers);
            database.session_uses.spawn(pools, &workers);
            pools.health.spawn(pools, &workers);
            audit.spawn();
            clocks.spawn(pools, &workers);
            planner_statistics::spawn(pools, &workers);
        }
        Self { database, key_cache, ledger: Arc::new(ledger), usage, audit, imports, idempotency, retention, staleness }
    }

    /// Brings the schema up to date.
    ///
    /// # Errors
    /// A statement failed, or the database is newer than this program.
    pub async fn migrate(&self) -> Result<(), SchemaError> {
        schema::migrate(&self.database.pools).await?;
        self.imports.load_key_formats().await
    }

    /// Updates PostgreSQL's statistics of the tables that have at least doubled since, unless another node does. Returns the number
    /// of tables.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn update_planner_statistics(&self) -> Result<usize, Outage> {
        Ok(planner_statistics::update(&self.database.pools).await?)
    }

    /// The name of the newest schema that this program knows.
    #[must_use]
    pub fn schema_version() -> String {
        schema::newest()
    }

    /// How old cached keys may be, while heartbeats of the change feed are missing but the staleness bound is not reached yet.
    #[must_use]
    pub fn cache_age(&self) -> Option<Duration> {
        self.staleness.overdue()
    }

    /// Starts the workers that purge rows by retention period, each minute, and that remove the rows of deleted organizations and
    /// permission sets, and the worker that disables keys by policies. `signer` signs what is pruned from audit logs.
    pub fn start_retention(&self, signer: Signer) {
        self.retention.spawn(signer);
        self.database.spawn_removals();
        self.database.spawn_key_policies();
    }

    /// Runs retention once, by the database's time on PostgreSQL. With `force`, a purge that would be held is done.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn run_retention_now(&self, signer: Signer, force: bool) -> Result<RetentionRun, Outage> {
        self.retention.run_now(signer, force).await
    }

    /// As [`Store::run_retention_now`], at this time.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn purge(&self, now: Timestamp, signer: Signer, force: bool) -> Result<RetentionRun, Outage> {
        Ok(self.retention.purge(now, signer, force).await?)
    }

    /// Disables all keys that the policies of organizations and permission sets disable at this time. Returns how many.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn apply_key_policies(&self, now: Timestamp) -> Result<u64, Outage> {
        Ok(self.database.apply_key_policies(now).await?)
    }

    /// Removes the rows of all deleted organizations and permission sets, until none are left or other nodes remove the rest.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn remove_deleted_rows(&self) -> Result<(), Outage> {
        self.database.remove_deleted_rows().await
    }

    /// Waits until a worker has exited. Before [`Store::close`] that happens only by a defect.
    pub async fn ended(&self) {
        self.database.workers.ended().await;
    }

    /// Writes what is queued, then closes all connections.
    pub async fn close(&self) {
        self.database.workers.stop_all().await;
        self.database.pools.close().await;
    }
}
