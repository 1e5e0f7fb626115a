//! Counts uses of metered keys: exactly over all nodes, and durably before they are answered.
//!
//! Group commit: requests queue for a worker. While one transaction commits, the next batch gathers, without timers. The uses of
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
use tokio::sync::{mpsc, oneshot};

use self::{journal::JournalCounter, rows::RowCounter};
use crate::{
    counter_states::CounterStates,
    db::{
        connect::Pools,
        dialect::Dialect,
        error::{self, DbFailure},
        health::DatabaseHealth,
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

/// Requests by key. Keys are locked in the order of their ids, so that two nodes cannot deadlock.
type Requests = BTreeMap<Uuid, Vec<SpendRequest>>;

/// Requests that are counted together.
#[derive(Default)]
struct Batch {
    keys: Requests,
    /// The number of requests.
    size: usize,
}

impl Batch {
    fn add(&mut self, request: SpendRequest) {
        self.keys.entry(request.key.uuid()).or_default().push(request);
        self.size += 1;
    }

    /// Adds the requests for a key that it does not have yet.
    fn insert(&mut self, key: Uuid, requests: Vec<SpendRequest>) {
        self.size += requests.len();
        self.keys.insert(key, requests);
    }

    fn into_requests(self) -> impl Iterator<Item = SpendRequest> {
        self.keys.into_values().flatten()
    }
}

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

/// The worker that counts.
pub(crate) struct LedgerWriter {
    queue: RequestQueue,
    counter: Counter,
}

/// How requests are counted.
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
    let (requests, receiver) = mpsc::channel(MAX_QUEUED);
    let clock = settings.ledger_clock.clone();
    let counter = if Dialect::of(&pools.ledger).is_shared() {
        Counter::Rows(Box::new(RowCounter::new(pools.clone(), clock)))
    } else {
        let clock = clock.unwrap_or_else(|| settings.clock.clone());
        Counter::Journal(Box::new(JournalCounter::new(pools.clone(), clock, states, counters.folds.clone())))
    };
    let batch_sizes = counters.batches.clone();
    let queue = RequestQueue { requests: receiver, health: pools.health, key_cache, generation: 0, batch_sizes };
    (Ledger { requests, waits: counters.waits.clone() }, LedgerWriter { queue, counter })
}

impl LedgerWriter {
    /// Starts the worker. When `stop` is cancelled, it first counts the requests in the queue.
    pub(crate) fn spawn(self, workers: &Workers) {
        let stop = workers.stop.clone();
        match self.counter {
            Counter::Rows(counter) => workers.spawn(counter.run(self.queue, stop)),
            Counter::Journal(counter) => workers.spawn(counter.run(self.queue, stop)),
        }
    }
}

/// The requests that wait to be counted.
struct RequestQueue {
    requests: mpsc::Receiver<SpendRequest>,
    health: Arc<DatabaseHealth>,
    /// When it is cleared, the states of keys that are known may be old.
    key_cache: Arc<KeyCache>,
    /// The generation of the key cache at the last batch.
    generation: u64,
    batch_sizes: Histogram,
}

impl RequestQueue {
    /// Waits for requests and adds them to a batch, so that it has at most [`MAX_BATCH`]. `false`: the queue is closed and empty.
    async fn receive(&mut self, batch: &mut Batch) -> bool {
        let mut received = Vec::new();
        if self.requests.recv_many(&mut received, MAX_BATCH - batch.size).await == 0 {
            return false;
        }
        // Requests that were cancelled while the database was unavailable are not counted.
        received.into_iter().filter(|request| !request.answer.is_closed()).for_each(|request| batch.add(request));
        true
    }

    /// Records that a batch begins. Returns whether the key cache was cleared since the last one: another process may have changed
    /// keys.
    fn begin(&mut self, batch: &Batch) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
        self.batch_sizes.observe(batch.size as f64);
        let generation = self.key_cache.generation();
        std::mem::replace(&mut self.generation, generation) != generation
    }

    /// Answers these requests and those in the queue: they fail at once, because the next transaction would most likely fail as
    /// well.
    fn fail(&mut self, Failed { failure, mut requests }: Failed) {
        self.health.observe(&failure);
        while let Ok(request) = self.requests.try_recv() {
            requests.push(request);
        }
        let failure = Arc::new(failure);
        for request in requests {
            let _ = request.answer.send(Err(error::shared(&failure)));
        }
    }
}

/// Sends each request its outcome. A request that was cancelled meanwhile has been counted all the same.
fn answer(requests: Vec<SpendRequest>, answers: Vec<ConsumeOutcome>) {
    for (request, outcome) in requests.into_iter().zip(answers) {
        let _ = request.answer.send(Ok(outcome));
    }
}
