//! Counting uses of metered keys: exact over all nodes, and durable before they are answered.
//!
//! Group commit: uses queue for one writer. While one transaction commits, the next batch gathers; no timers. The domain's
//! arithmetic serves the uses of each key together, everything is written and committed, and only then each waiting verify
//! gets its own answer.
//!
//! Two ways to count a batch. A key that was counted a moment ago is known: what it would become is computed from that and
//! written by one statement, guarded by what was known ([`guarded`]). Where the guard fails (another node counted, or the
//! settings changed) or nothing is known, the row is locked, read, computed and written in one transaction ([`locked`]).

mod guarded;
mod locked;
mod state;

use std::{collections::BTreeMap, num::NonZeroUsize, sync::Arc};

use domain::{Outage, clock::Clock, id::KeyId, verdict::Spent};
use lru::LruCache;
use prometheus::Histogram;
use sea_orm::prelude::Uuid;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use self::state::State;
use crate::{
    connect::Pools,
    figures::Figures,
    outage::{self, Failure},
    retry,
    snapshots::Snapshots,
};

/// Uses that may wait for the writer before further ones wait for a place.
const QUEUE: usize = 65_536;

/// Uses in one transaction.
const BATCH: usize = 4_096;

/// Keys that are known from the last time, at about 250 bytes each.
const KNOWN: NonZeroUsize = NonZeroUsize::new(65_536).expect("not zero");

/// What a use writes, by the time that `clock` tells.
fn assignments(clock: &str) -> String {
    format!(
        "remaining = s.remaining, last_refill_at = s.last_refill_at, window_start = s.window_start, \
         window_count = s.window_count, request_count = request_count + s.admitted, \
         last_request_at = CASE WHEN last_request_at > {clock} THEN last_request_at ELSE {clock} END"
    )
}

/// A use that waits to be counted.
pub(crate) struct Ask {
    key: KeyId,
    version: u64,
    cost: u64,
    answer: oneshot::Sender<Result<Spent, Outage>>,
}

/// The uses of a batch by key: in the order of the ids, so that two nodes that lock the same keys do not wait for each other
/// in a circle.
type Batch = BTreeMap<Uuid, Vec<Ask>>;

/// Uses of which nothing is known, and why.
struct Lost {
    failure: Failure,
    asks: Vec<Ask>,
}

/// The way to the writer.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    asks: mpsc::Sender<Ask>,
    waits: Histogram,
}

impl Queue {
    /// Waits until the use is counted or refused.
    pub(crate) async fn spend(&self, key: KeyId, version: u64, cost: u64) -> Result<Spent, Outage> {
        let gone = || Outage::Unavailable("the ledger has ended".into());
        let (answer, answered) = oneshot::channel();
        let _timer = self.waits.start_timer();
        self.asks.send(Ask { key, version, cost, answer }).await.map_err(|_| gone())?;
        answered.await.unwrap_or_else(|_| Err(gone()))
    }
}

/// The writer.
pub(crate) struct Ledger {
    pools: Pools,
    /// Whose time decides; `None`: PostgreSQL's, so that nodes agree.
    clock: Option<Arc<dyn Clock>>,
    queue: mpsc::Receiver<Ask>,
    /// Keys as they were committed last.
    known: LruCache<Uuid, State>,
    /// When everything is forgotten there, it is here.
    snapshots: Arc<Snapshots>,
    times_cleared: u64,
    sizes: Histogram,
}

/// A ledger and the way to it.
pub(crate) fn open(
    pools: Pools,
    clock: Option<Arc<dyn Clock>>,
    snapshots: Arc<Snapshots>,
    figures: Figures,
) -> (Queue, Ledger) {
    let (asks, queue) = mpsc::channel(QUEUE);
    let (known, sizes) = (LruCache::new(KNOWN), figures.batches);
    (Queue { asks, waits: figures.waits }, Ledger { pools, clock, queue, known, snapshots, times_cleared: 0, sizes })
}

impl Ledger {
    /// Counts until `stop`, and then what is still in the queue.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                biased;
                count = self.queue.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        return;
                    }
                    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
                    self.sizes.observe(count as f64);
                    let mut keys = Batch::new();
                    // Who has gone meanwhile, because the database was away for long, gets nothing and pays nothing.
                    for ask in batch.drain(..).filter(|ask| !ask.answer.is_closed()) {
                        keys.entry(ask.key.uuid()).or_default().push(ask);
                    }
                    self.settle(keys).await;
                }
                () = stop.cancelled() => self.queue.close(),
            }
        }
    }

    async fn settle(&mut self, batch: Batch) {
        let times_cleared = self.snapshots.times_cleared();
        if times_cleared != self.times_cleared {
            self.times_cleared = times_cleared;
            self.known.clear();
        }
        let lost = match self.count_guarded(batch).await {
            Ok(rest) if rest.is_empty() => return,
            Ok(rest) => self.count_locked(rest).await.err(),
            Err(lost) => Some(lost),
        };
        if let Some(Lost { failure, mut asks }) = lost {
            self.pools.health.observe(&failure);
            // Who queued meanwhile would wait for the same.
            while let Ok(ask) = self.queue.try_recv() {
                asks.push(ask);
            }
            let failure = Arc::new(failure);
            for ask in asks {
                let _ = ask.answer.send(Err(outage::shared(&failure)));
            }
        }
    }

    /// The outcome of a statement or a transaction that stands, in time: a connection that died silently must not hold up
    /// every verify behind it.
    async fn in_time<T, F>(&self, work: impl FnMut() -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        retry::in_time(self.pools.timeout, retry::until_it_stands(self.pools.timeout, work)).await
    }
}

/// Gives each of the asks its answer. A verify that does not wait any more has been counted all the same.
fn answer(asks: Vec<Ask>, answers: Vec<Spent>) {
    for (ask, spent) in asks.into_iter().zip(answers) {
        let _ = ask.answer.send(Ok(spent));
    }
}
