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

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

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

/// Requests by key. Rows are locked and updated in the order of these ids, so that two nodes cannot deadlock.
type RequestsByKey = BTreeMap<Uuid, Vec<SpendRequest>>;

/// Requests that are counted together.
#[derive(Default)]
struct Batch {
    requests: RequestsByKey,
    /// The number of requests.
    size: usize,
}

impl Batch {
    fn add(&mut self, request: SpendRequest) {
        self.requests.entry(request.key.uuid()).or_default().push(request);
        self.size += 1;
    }

    /// Adds the requests for a key that it does not have yet.
    fn add_key(&mut self, key: Uuid, requests: Vec<SpendRequest>) {
        self.size += requests.len();
        self.requests.insert(key, requests);
    }

    /// Removes requests that were cancelled, for example while the database was unavailable. They are not counted.
    fn remove_cancelled(&mut self) {
        self.requests.retain(|_, requests| {
            requests.retain(|request| !request.answer.is_closed());
            !requests.is_empty()
        });
        self.size = self.requests.values().map(Vec::len).sum();
    }

    fn into_requests(self) -> impl Iterator<Item = SpendRequest> {
        self.requests.into_values().flatten()
    }
}

/// Requests that failed. Whether they were counted is not known.
struct Failed {
    failure: DbFailure,
    requests: Vec<SpendRequest>,
}

/// The number of uses that wait to be counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct WaitingUses(Arc<AtomicUsize>);

impl WaitingUses {
    pub(crate) fn is_any(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn begin(&self) -> WaitingUse<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        WaitingUse(self)
    }
}

/// A use that waits to be counted, until this is dropped.
pub(crate) struct WaitingUse<'a>(&'a WaitingUses);

impl Drop for WaitingUse<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Sends uses to the worker, and waits for their outcomes.
#[derive(Clone, Debug)]
pub struct Ledger {
    requests: mpsc::Sender<SpendRequest>,
    waiting: WaitingUses,
    waits: Histogram,
}

impl Ledger {
    pub(crate) fn waiting(&self) -> WaitingUses {
        self.waiting.clone()
    }
}

#[async_trait]
impl ports::Ledger for Ledger {
    async fn spend(&self, key: KeyId, version: u64, cost: u64) -> Result<ConsumeOutcome, Outage> {
        let gone = || Outage::Unavailable("the ledger worker has stopped".into());
        let (answer, answered) = oneshot::channel();
        let _timer = self.waits.start_timer();
        let _waiting = self.waiting.begin();
        self.requests.send(SpendRequest { key, version, cost, answer }).await.map_err(|_| gone())?;
        answered.await.unwrap_or_else(|_| Err(gone()))
    }
}

/// The worker that counts the queued uses.
pub(crate) struct LedgerWorker {
    queue: RequestQueue,
    counter: Counter,
}

/// How requests are counted.
enum Counter {
    Rows(Box<RowCounter>),
    Journal(Box<JournalCounter>),
}

/// Creates the ledger and its worker. On SQLite, the worker decides by `states`.
pub(crate) fn open(
    pools: Pools,
    settings: &Settings,
    key_cache: Arc<KeyCache>,
    states: Arc<CounterStates>,
    counters: &Counters,
) -> (Ledger, LedgerWorker) {
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
    (
        Ledger { requests, waiting: WaitingUses::default(), waits: counters.waits.clone() },
        LedgerWorker { queue, counter },
    )
}

impl LedgerWorker {
    /// Starts the worker. When `stop` is cancelled, it first counts the requests in the queue.
    pub(crate) fn spawn(self, workers: &Workers) {
        let stop = workers.stop.clone();
        match self.counter {
            Counter::Rows(counter) => workers.spawn(counter.run(self.queue, stop)),
            // SQLite's thread wakes the worker after each batch. Among the tasks of requests, it would have to wait for its turn.
            Counter::Journal(counter) => workers.spawn_on_thread("ledger", counter.run(self.queue, stop)),
        }
    }
}

/// The requests that wait to be counted.
struct RequestQueue {
    requests: mpsc::Receiver<SpendRequest>,
    health: Arc<DatabaseHealth>,
    /// When it is cleared, the known states of keys may be stale.
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
        for request in received {
            batch.add(request);
        }
        batch.remove_cancelled();
        true
    }

    /// Records the size of a batch that starts. Returns whether the key cache was cleared since the previous batch: then another
    /// process may have changed keys, and known states may be stale.
    fn record_batch(&mut self, batch: &Batch) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
        self.batch_sizes.observe(batch.size as f64);
        let generation = self.key_cache.generation();
        std::mem::replace(&mut self.generation, generation) != generation
    }

    /// Answers these requests, and all in the queue, with the failure. Those in the queue are not tried, because the next
    /// transaction would most likely fail as well.
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
