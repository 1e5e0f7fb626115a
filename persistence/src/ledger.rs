//! Counts uses of metered keys: exactly over all nodes, and durably before they are answered.
//!
//! Group commit: requests queue for one writer. While one transaction commits, the next batch gathers, without timers. The uses of
//! each key are computed together, everything is written and committed, and only then each waiting verify gets its own answer.
//!
//! PostgreSQL, where several nodes count: each batch is written into the rows of its keys ([`rows`]). SQLite, where this process
//! alone counts: each batch is one row of a journal, which is folded into the rows of the keys later ([`journal`]).

mod journal;
mod rows;
mod state;

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use domain::{Outage, id::KeyId, ports, verify::result::ConsumeOutcome};
use prometheus::Histogram;
use sea_orm::prelude::Uuid;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use self::{journal::JournalCounter, rows::RowCounter};
use crate::{
    counter_states::CounterStates,
    db::{
        connect::Pools,
        dialect::Dialect,
        error::{self, DbFailure},
    },
    key_cache::KeyCache,
    metrics::counters::Counters,
    rows::counter_journal::MAX_ENTRIES,
    settings::Settings,
    workers::Workers,
};

/// Requests in the queue. Further ones wait until there is room.
const MAX_QUEUED: usize = 65_536;

/// The most requests in one transaction.
const MAX_BATCH: usize = MAX_ENTRIES;

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
    queue: mpsc::Receiver<SpendRequest>,
    counter: Counter,
    /// When it is cleared, so are the cached states.
    key_cache: Arc<KeyCache>,
    /// The generation of the key cache at the last batch.
    generation: u64,
    batch_sizes: Histogram,
}

/// How a batch is counted.
enum Counter {
    Rows(Box<RowCounter>),
    Journal(Box<JournalCounter>),
}

/// A queue and its writer. On SQLite, `states` are those by which the writer decides.
pub(crate) fn open(
    pools: Pools,
    settings: &Settings,
    key_cache: Arc<KeyCache>,
    states: Arc<CounterStates>,
    counters: &Counters,
) -> (Ledger, LedgerWriter) {
    let (requests, queue) = mpsc::channel(MAX_QUEUED);
    let clock = settings.ledger_clock.clone();
    let counter = if Dialect::of(&pools.ledger).is_shared() {
        Counter::Rows(Box::new(RowCounter::new(pools.clone(), clock)))
    } else {
        let clock = clock.unwrap_or_else(|| settings.clock.clone());
        Counter::Journal(Box::new(JournalCounter::new(pools.clone(), clock, states, counters.folds.clone())))
    };
    let writer =
        LedgerWriter { pools, queue, counter, key_cache, generation: 0, batch_sizes: counters.batches.clone() };
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
            let fold_at = self.counter.fold_at();
            tokio::select! {
                biased;
                count = self.queue.recv_many(&mut batch, MAX_BATCH) => {
                    if count == 0 {
                        return self.counter.close().await;
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
                () = tokio::time::sleep_until(fold_at.unwrap_or_else(Instant::now)), if fold_at.is_some() => {
                    self.counter.fold().await;
                }
                () = stop.cancelled() => self.queue.close(),
            }
        }
    }

    async fn process_batch(&mut self, batch: Batch) {
        let generation = self.key_cache.generation();
        if generation != self.generation {
            self.generation = generation;
            self.counter.clear();
        }
        if let Err(Failed { failure, mut requests }) = self.counter.count(batch).await {
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

impl Counter {
    /// Counts and answers a batch.
    async fn count(&mut self, batch: Batch) -> Result<(), Failed> {
        match self {
            Self::Rows(counter) => counter.count(batch).await,
            Self::Journal(counter) => counter.count(batch).await,
        }
    }

    /// Another process may have changed rows.
    fn clear(&mut self) {
        match self {
            Self::Rows(counter) => counter.clear(),
            Self::Journal(counter) => counter.distrust(),
        }
    }

    /// When [`Counter::fold`] is to be called, if no batch comes before.
    fn fold_at(&self) -> Option<Instant> {
        match self {
            Self::Rows(_) => None,
            Self::Journal(counter) => counter.fold_at(),
        }
    }

    /// Writes a part of the counters that are only in the journal into the rows of their keys.
    async fn fold(&mut self) {
        if let Self::Journal(counter) = self {
            counter.fold_part().await;
        }
    }

    /// Called after the last batch.
    async fn close(&mut self) {
        if let Self::Journal(counter) = self {
            counter.close().await;
        }
    }
}

/// Sends each request its outcome. A request that was cancelled meanwhile has been counted all the same.
fn answer(requests: Vec<SpendRequest>, answers: Vec<ConsumeOutcome>) {
    for (request, outcome) in requests.into_iter().zip(answers) {
        let _ = request.answer.send(Ok(outcome));
    }
}
