//! Counting on PostgreSQL: each batch is written into the rows of its keys.
//!
//! There are two ways. The state of a key that was counted recently is cached: its next state is computed from that and written by
//! one statement, on the condition that the row still has the cached state ([`optimistic`]). If it has not (another node has
//! counted, or the settings have changed), if no state is cached, or if the result depends on the exact time (a window begins, for
//! example), the row is locked, read, computed and written in one transaction ([`pessimistic`]).
//!
//! Up to [`MAX_BATCHES`] batches are counted at the same time: while one waits for the disk of the server, the other is executed.
//! They have no key in common: requests for a key that is being counted wait for the end of its batch. So each key has one state, and
//! this process never waits for a row that it has locked itself.

mod connection;
mod optimistic;
mod pessimistic;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use domain::clock::{Clock, Timestamp};
use lru::LruCache;
use sea_orm::prelude::Uuid;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::connection::LedgerConnection;
use super::{Batch, Failed, MAX_BATCH, RequestQueue};
use crate::{
    counter_states::{MAX_CACHED_STATES, State},
    db::{connect::Pools, dialect::pool_state, error},
};

/// Batches that are counted at the same time.
const MAX_BATCHES: u32 = 2;

/// The fewest requests that are worth a batch beside a running one. Fewer wait until it ends: a statement costs as much as many of
/// its rows.
const MIN_REQUESTS_BESIDE: usize = 16;

/// Counts in the rows of the keys.
pub(super) struct RowCounter {
    writer: RowWriter,
    /// The states of keys as last committed. Those of keys that are being counted may be older.
    states: LruCache<Uuid, State>,
    /// Increases when the states may have become stale.
    generation: u64,
    /// Connections that no batch uses.
    connections: Vec<LedgerConnection>,
    running: JoinSet<Ended>,
    /// The keys that are being counted.
    busy: HashSet<Uuid>,
}

/// Counts one batch in the rows of its keys.
#[derive(Clone)]
struct RowWriter {
    pools: Pools,
    /// The clock that decides; `None`: the database's, so that all nodes use the same.
    clock: Option<Arc<dyn Clock>>,
    database_clock: DatabaseClock,
}

/// The database's clock, as it was observed last.
#[derive(Clone, Default)]
struct DatabaseClock(Arc<Mutex<Option<(Timestamp, Instant)>>>);

impl DatabaseClock {
    /// The database has returned this time.
    fn observe(&self, time: Timestamp) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((time, Instant::now()));
    }

    /// Its time now, if its clock was not set meanwhile. `None`: it was not observed yet.
    fn estimate(&self) -> Option<Timestamp> {
        let (time, observed) = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        Some(time.plus_millis(i64::try_from(observed.elapsed().as_millis()).unwrap_or(i64::MAX)))
    }
}

/// A batch that has ended.
struct Ended {
    keys: Vec<Uuid>,
    /// The states of its keys that are known afterwards, and the generation in which it began.
    states: HashMap<Uuid, State>,
    generation: u64,
    connection: LedgerConnection,
    /// Its requests, if it failed. They have no answers yet.
    failed: Option<Failed>,
}

impl RowCounter {
    pub(super) fn new(pools: Pools, clock: Option<Arc<dyn Clock>>) -> Self {
        // A second batch would only wait for the connection of the first.
        let batches = pool_state(&pools.ledger).max.min(MAX_BATCHES);
        let connections = (0..batches).map(|_| LedgerConnection::new(&pools.ledger)).collect();
        Self {
            writer: RowWriter { pools, clock, database_clock: DatabaseClock::default() },
            states: LruCache::new(MAX_CACHED_STATES),
            generation: 0,
            connections,
            running: JoinSet::new(),
            busy: HashSet::new(),
        }
    }

    /// Counts the requests of the queue, until `stop` is cancelled and the queue is empty.
    pub(super) async fn run(mut self: Box<Self>, mut queue: RequestQueue, stop: CancellationToken) {
        let (mut waiting, mut is_open) = (Batch::default(), true);
        loop {
            while let Some(batch) = self.next_batch(&mut waiting) {
                self.start_batch(batch, &mut queue);
            }
            if !is_open && self.running.is_empty() {
                return;
            }
            tokio::select! {
                biased;
                Some(ended) = self.running.join_next() => {
                    let Some(ended) = error::finished(ended) else { return };
                    if let Some(mut failed) = self.finish_batch(ended) {
                        failed.requests.extend(std::mem::take(&mut waiting).into_requests());
                        queue.fail(failed);
                    }
                }
                received = queue.receive(&mut waiting), if is_open && waiting.size < MAX_BATCH => is_open = received,
                () = stop.cancelled(), if !queue.requests.is_closed() => queue.requests.close(),
            }
        }
    }

    /// Takes the requests that can be counted now. `None`: there are none, or they are not worth a batch yet.
    fn next_batch(&self, waiting: &mut Batch) -> Option<Batch> {
        if self.connections.is_empty() || waiting.size == 0 {
            return None;
        }
        waiting.remove_cancelled();
        let is_free = |key: &Uuid| !self.busy.contains(key);
        let free: usize =
            waiting.requests.iter().filter(|(key, _)| is_free(key)).map(|(_, requests)| requests.len()).sum();
        if free < if self.running.is_empty() { 1 } else { MIN_REQUESTS_BESIDE } {
            return None;
        }
        let (mut batch, mut rest) = (Batch::default(), Batch::default());
        for (key, requests) in std::mem::take(waiting).requests {
            if is_free(&key) { batch.add_key(key, requests) } else { rest.add_key(key, requests) }
        }
        *waiting = rest;
        Some(batch)
    }

    /// Starts to count a batch.
    fn start_batch(&mut self, batch: Batch, queue: &mut RequestQueue) {
        if queue.record_batch(&batch) {
            self.states.clear();
            self.generation += 1;
        }
        let generation = self.generation;
        let keys: Vec<Uuid> = batch.requests.keys().copied().collect();
        self.busy.extend(&keys);
        let mut states: HashMap<Uuid, State> =
            keys.iter().filter_map(|key| Some((*key, *self.states.get(key)?))).collect();
        let writer = self.writer.clone();
        let connection = self.connections.pop().expect("a batch begins only if there is a connection");
        self.running.spawn(async move {
            let failed = writer.count(batch, &mut states, &connection).await.err();
            Ended { keys, states, generation, connection, failed }
        });
    }

    /// Takes back the connection, the keys and the states of a batch. Returns its requests if it failed.
    fn finish_batch(&mut self, ended: Ended) -> Option<Failed> {
        let Ended { keys, states, generation, connection, failed } = ended;
        self.connections.push(connection);
        for key in &keys {
            self.busy.remove(key);
            match states.get(key).filter(|_| generation == self.generation) {
                Some(state) => drop(self.states.put(*key, *state)),
                None => drop(self.states.pop(key)),
            }
        }
        failed
    }
}

impl RowWriter {
    /// Counts and answers a batch. `states`: those that are known, before and after.
    async fn count(
        &self,
        batch: Batch,
        states: &mut HashMap<Uuid, State>,
        connection: &LedgerConnection,
    ) -> Result<(), Failed> {
        let rest = self.count_optimistically(batch.requests, states, connection).await?;
        if rest.is_empty() {
            return Ok(());
        }
        // Its transaction takes one from the pool.
        connection.release().await;
        self.count_pessimistically(rest, states).await
    }
}
