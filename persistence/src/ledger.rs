//! Counts uses of metered keys: exactly over all nodes, and durably before they are answered.
//!
//! Group commit: requests queue for one writer. While one transaction commits, the next batch gathers, without timers. The uses of
//! each key are computed together, everything is written and committed, and only then each waiting verify gets its own answer.
//!
//! There are two ways to count a batch. The state of a key that was counted recently is cached: its next state is computed from
//! that and written by one statement, on the condition that the row still has the cached state ([`optimistic`]). If it has not
//! (another node has counted, or the settings have changed), or no state is cached, the row is locked, read, computed and written
//! in one transaction ([`pessimistic`]).

mod optimistic;
mod pessimistic;
mod state;

use std::{collections::BTreeMap, num::NonZeroUsize, sync::Arc};

use async_trait::async_trait;
use domain::{Outage, clock::Clock, id::KeyId, ports, verify::result::ConsumeOutcome};
use lru::LruCache;
use prometheus::Histogram;
use sea_orm::prelude::Uuid;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use self::state::State;
use crate::{
    db::{
        connect::Pools,
        error::{self, DbFailure},
    },
    key_cache::KeyCache,
    metrics::counters::Counters,
    workers::Workers,
};

/// Requests in the queue. Further ones wait until there is room.
const MAX_QUEUED: usize = 65_536;

/// The most requests in one transaction.
const MAX_BATCH: usize = 4_096;

/// Keys whose state is cached, at about 250 bytes each.
const MAX_CACHED_STATES: NonZeroUsize = NonZeroUsize::new(65_536).expect("not zero");

/// What a batch writes to a key, with the SQL expression `clock` for the time.
fn assignments(clock: &str) -> String {
    format!(
        "remaining = s.remaining, last_refill_at = s.last_refill_at, window_start = s.window_start, \
         window_count = s.window_count, request_count = request_count + s.admitted, \
         last_request_at = CASE WHEN last_request_at > {clock} THEN last_request_at ELSE {clock} END"
    )
}

/// A request to count a use, which waits for its outcome.
pub(crate) struct SpendRequest {
    key: KeyId,
    version: u64,
    cost: u64,
    answer: oneshot::Sender<Result<ConsumeOutcome, Outage>>,
}

/// The requests of a batch by key. Keys are locked in the order of their ids, so that two nodes cannot deadlock.
type Batch = BTreeMap<Uuid, Vec<SpendRequest>>;

/// Requests that failed. Whether they were counted is not known.
struct Failed {
    failure: DbFailure,
    requests: Vec<SpendRequest>,
}

/// The queue of the writer.
#[derive(Clone, Debug)]
pub struct Ledger {
    requests: mpsc::Sender<SpendRequest>,
    waits: Histogram,
}

#[async_trait]
impl ports::Ledger for Ledger {
    async fn spend(&self, key: KeyId, version: u64, cost: u64) -> Result<ConsumeOutcome, Outage> {
        let gone = || Outage::Unavailable("the ledger worker has stopped".into());
        let (answer, answered) = oneshot::channel();
        let _timer = self.waits.start_timer();
        self.requests.send(SpendRequest { key, version, cost, answer }).await.map_err(|_| gone())?;
        answered.await.unwrap_or_else(|_| Err(gone()))
    }
}

/// The one worker that counts.
pub(crate) struct LedgerWriter {
    pools: Pools,
    /// The clock that decides; `None`: PostgreSQL's, so that all nodes use the same.
    clock: Option<Arc<dyn Clock>>,
    queue: mpsc::Receiver<SpendRequest>,
    /// The states of keys as they were committed last.
    states: LruCache<Uuid, State>,
    /// When it is cleared, so are the cached states.
    key_cache: Arc<KeyCache>,
    /// The generation of the key cache at the last batch.
    generation: u64,
    batch_sizes: Histogram,
}

/// A queue and its writer.
pub(crate) fn open(
    pools: Pools,
    clock: Option<Arc<dyn Clock>>,
    key_cache: Arc<KeyCache>,
    counters: &Counters,
) -> (Ledger, LedgerWriter) {
    let (requests, queue) = mpsc::channel(MAX_QUEUED);
    let (states, batch_sizes) = (LruCache::new(MAX_CACHED_STATES), counters.batches.clone());
    let writer = LedgerWriter { pools, clock, queue, states, key_cache, generation: 0, batch_sizes };
    (Ledger { requests, waits: counters.waits.clone() }, writer)
}

impl LedgerWriter {
    /// Starts the worker. When `stop` is cancelled, it first counts the requests in the queue.
    pub(crate) fn spawn(self, workers: &Workers) {
        workers.spawn(self.run(workers.stop.clone()));
    }

    async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                biased;
                count = self.queue.recv_many(&mut batch, MAX_BATCH) => {
                    if count == 0 {
                        return;
                    }
                    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
                    self.batch_sizes.observe(count as f64);
                    let mut keys = Batch::new();
                    // Requests that were cancelled while the database was unavailable are not counted.
                    for request in batch.drain(..).filter(|request| !request.answer.is_closed()) {
                        keys.entry(request.key.uuid()).or_default().push(request);
                    }
                    self.process_batch(keys).await;
                }
                () = stop.cancelled() => self.queue.close(),
            }
        }
    }

    async fn process_batch(&mut self, batch: Batch) {
        let generation = self.key_cache.generation();
        if generation != self.generation {
            self.generation = generation;
            self.states.clear();
        }
        let failed = match self.count_optimistically(batch).await {
            Ok(rest) if rest.is_empty() => return,
            Ok(rest) => self.count_pessimistically(rest).await.err(),
            Err(failed) => Some(failed),
        };
        if let Some(Failed { failure, mut requests }) = failed {
            self.pools.health.observe(&failure);
            // Queued requests fail at once, because the next transaction would most likely fail as well.
            while let Ok(request) = self.queue.try_recv() {
                requests.push(request);
            }
            let failure = Arc::new(failure);
            for request in requests {
                let _ = request.answer.send(Err(error::shared(&failure)));
            }
        }
    }
}

/// Sends each request its outcome. A request that was cancelled meanwhile has been counted all the same.
fn answer(requests: Vec<SpendRequest>, answers: Vec<ConsumeOutcome>) {
    for (request, outcome) in requests.into_iter().zip(answers) {
        let _ = request.answer.send(Ok(outcome));
    }
}
