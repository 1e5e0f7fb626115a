//! What the persistence is told: which database, and how much of what.

use std::{sync::Arc, time::Duration};

use domain::{
    bounds::Bounds,
    clock::{Clock, Timestamp},
};
use prometheus::Registry;

/// Which database, and how to use it.
#[derive(Clone)]
pub struct Settings {
    /// `sqlite://path` or `postgres://user:password@host/database`.
    pub url: String,
    /// Connections to PostgreSQL. On SQLite there are always one writer and four readers.
    pub connections: u32,
    /// Whose time the ledger takes; `None`: PostgreSQL's own, so that nodes agree. On SQLite it must be given.
    pub ledger_clock: Option<Arc<dyn Clock>>,
    /// How long to wait for a connection or for SQLite's lock before the database counts as away.
    pub timeout: Duration,
    /// How long a change may take.
    pub change_timeout: Duration,
    /// On PostgreSQL: for how long what is remembered may be relied on without a sign of the change feed.
    pub staleness_bound: Duration,
    /// Tells when something is over.
    pub clock: Arc<dyn Clock>,
    /// How long what is over is kept.
    pub retention: Retention,
    /// What organizations may have at most.
    pub caps: DefaultCaps,
    /// What there may be at most of what comes and goes.
    pub bounds: Bounds,
    /// How many keys to remember.
    pub cache: CacheSize,
    /// Where the figures of this side are shown.
    pub registry: Registry,
}

/// The most that is remembered.
#[derive(Clone, Copy, Debug)]
pub struct CacheSize {
    /// Keys.
    pub keys: usize,
    /// Bytes that they take.
    pub bytes: usize,
}

/// How long what is over is kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Keys that are deleted, before they are gone for good; zero: they are gone at once.
    pub deleted_keys: Duration,
    /// Events of the log.
    pub audit: Duration,
    /// Counts of verifies.
    pub usage: Duration,
}

/// What the service allows every organization that has no cap of its own.
#[derive(Clone, Copy, Debug)]
pub struct DefaultCaps {
    /// Keys.
    pub keys: u64,
    /// Members.
    pub members: u64,
    /// Permission sets.
    pub sets: u64,
    /// Changes that are logged in an hour.
    pub changes: u64,
}

/// The moment before which something is over that is kept for so long.
pub(crate) fn before(now: Timestamp, kept: Duration) -> i64 {
    now.plus_millis(-i64::try_from(kept.as_millis()).unwrap_or(i64::MAX)).millis()
}
