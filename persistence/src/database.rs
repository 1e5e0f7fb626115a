//! The database as changes use it: connections, limits, turns, and the cache that each [`transaction`] invalidates. Long
//! deletions are done in [`batches`].

pub(crate) mod batches;
pub(crate) mod change_log;
mod session_uses;
pub(crate) mod transaction;

use std::sync::Arc;

use domain::{Outage, bounds::Bounds};
use tokio::sync::Notify;

use self::session_uses::SessionUses;
use crate::{
    counter_states::CounterStates,
    db::{clocks::Clocks, connect::Pools, dialect, error::DbFailure, turns::Turns},
    key_cache::KeyCache,
    retention_periods::RetentionPeriods,
    settings::DefaultCaps,
    workers::Workers,
};

/// The connections of a process to its database, and what each change needs: clocks, limits, turns, and the key cache, which
/// every transaction invalidates.
///
/// Implements the ports on keys, organizations, members, permission sets, identities, sessions, token groups and usage by hour.
pub struct Database {
    pub(crate) pools: Pools,
    pub(crate) clocks: Clocks,
    pub(crate) caps: DefaultCaps,
    pub(crate) bounds: Bounds,
    pub(crate) retention: RetentionPeriods,
    /// Serializes the changes of one key, user or organization's permission sets within this process.
    pub(crate) turns: Arc<Turns>,
    pub(crate) key_cache: Arc<KeyCache>,
    /// Counters of keys that may be newer than their rows. Reads of keys are completed with them.
    pub(crate) counter_states: Arc<CounterStates>,
    pub(crate) workers: Workers,
    /// The last uses of sessions that are not stored yet.
    pub(crate) session_uses: Arc<SessionUses>,
    /// Wakes the worker that removes the rows of deleted organizations and permission sets.
    pub(crate) removals: Notify,
}

impl Database {
    /// Whether the database can be read, has the schema that this program needs, and can be written. A successful result of the
    /// last half second is reused.
    ///
    /// # Errors
    /// The database cannot be read or written.
    pub async fn is_ready(&self) -> Result<bool, Outage> {
        self.pools.health.probe(&self.pools).await.map_err(|failure| Outage::Unavailable(Box::new(failure)))
    }

    /// As [`Database::is_ready`], but always by a new probe.
    ///
    /// # Errors
    /// The database cannot be read or written.
    pub async fn is_ready_now(&self) -> Result<bool, Outage> {
        self.pools.health.probe_now(&self.pools).await.map_err(|failure| Outage::Unavailable(Box::new(failure)))
    }

    /// Reports an outage that a request got: it may be the first sign of failing storage.
    pub fn observe(&self, outage: &Outage) {
        self.pools.health.observe_outage(outage);
    }

    /// Compares the clock of this process with the database's now, and returns whether they are within a minute of each other.
    /// Always `true` on SQLite, which has no clock of its own.
    ///
    /// # Errors
    /// The database does not respond.
    pub async fn is_clock_right(&self) -> Result<bool, Outage> {
        self.clocks.compare(&self.pools.verification).await.map_err(DbFailure::from)?;
        Ok(!self.clocks.are_far_apart())
    }

    /// The number of connections for lists and other reads that are not part of verification.
    #[must_use]
    pub fn read_connections(&self) -> u32 {
        dialect::pool_state(&self.pools.read).max
    }
}
