//! The settings of a store.

use std::{sync::Arc, time::Duration};

use domain::{bounds::Bounds, clock::Clock};
use prometheus::Registry;

use crate::retention_periods::RetentionPeriods;

/// Which database, and how to use it.
#[derive(Clone)]
pub struct Settings {
    /// `sqlite://path` or `postgres://user:password@host/database`.
    pub url: String,
    /// Connections to PostgreSQL, at least 4: one for each pool. On SQLite there are always one writer and six readers.
    pub connections: u32,
    /// The clock of the ledger. `None`: PostgreSQL's own, so that all nodes use the same. Required on SQLite.
    pub ledger_clock: Option<Arc<dyn Clock>>,
    /// How long to wait for a connection, for SQLite's lock, or for a worker's transaction.
    pub timeout: Duration,
    /// How long the transaction of a change may take.
    pub change_timeout: Duration,
    /// On PostgreSQL: how long cached keys are used without a heartbeat of the change feed.
    pub staleness_bound: Duration,
    /// The clock of this process.
    pub clock: Arc<dyn Clock>,
    /// How long deleted and old rows are kept.
    pub retention: RetentionPeriods,
    /// The limits of organizations that have none of their own.
    pub caps: DefaultCaps,
    /// The limits of all organizations together.
    pub bounds: Bounds,
    /// The limits of the key cache.
    pub cache: CacheSize,
    /// Where the metrics of the store are registered.
    pub registry: Registry,
}

/// The limits of the key cache.
#[derive(Clone, Copy, Debug)]
pub struct CacheSize {
    /// The most keys; 0: no key is cached.
    pub keys: usize,
    /// The most bytes that they may take.
    pub bytes: usize,
}

/// The limits of organizations that have none of their own.
#[derive(Clone, Copy, Debug)]
pub struct DefaultCaps {
    /// Keys.
    pub keys: u64,
    /// Members.
    pub members: u64,
    /// Permission sets.
    pub sets: u64,
    /// Logged changes in an hour.
    pub changes: u64,
}
