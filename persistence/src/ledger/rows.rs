//! Counting on PostgreSQL: each batch is written into the rows of its keys.
//!
//! There are two ways. The state of a key that was counted recently is cached: its next state is computed from that and written by
//! one statement, on the condition that the row still has the cached state ([`optimistic`]). If it has not (another node has
//! counted, or the settings have changed), or no state is cached, the row is locked, read, computed and written in one transaction
//! ([`pessimistic`]).

mod optimistic;
mod pessimistic;

use std::sync::Arc;

use domain::clock::Clock;
use lru::LruCache;
use sea_orm::prelude::Uuid;

use super::{Batch, Failed};
use crate::{
    counter_states::{MAX_CACHED_STATES, State},
    db::connect::Pools,
};

/// What a batch writes to a key, with the SQL expression `clock` for the time.
fn assignments(clock: &str) -> String {
    format!(
        "remaining = s.remaining, last_refill_at = s.last_refill_at, window_start = s.window_start, \
         window_count = s.window_count, request_count = request_count + s.admitted, \
         last_request_at = CASE WHEN last_request_at > {clock} THEN last_request_at ELSE {clock} END"
    )
}

/// Counts in the rows of the keys.
pub(super) struct RowCounter {
    pools: Pools,
    /// The clock that decides; `None`: the database's, so that all nodes use the same.
    clock: Option<Arc<dyn Clock>>,
    /// The states of keys as they were committed last.
    states: LruCache<Uuid, State>,
}

impl RowCounter {
    pub(super) fn new(pools: Pools, clock: Option<Arc<dyn Clock>>) -> Self {
        Self { pools, clock, states: LruCache::new(MAX_CACHED_STATES) }
    }

    /// Forgets all states.
    pub(super) fn clear(&mut self) {
        self.states.clear();
    }

    /// Counts and answers a batch.
    pub(super) async fn count(&mut self, batch: Batch) -> Result<(), Failed> {
        let rest = self.count_optimistically(batch).await?;
        if rest.is_empty() { Ok(()) } else { self.count_pessimistically(rest).await }
    }
}
