//! The keys as verify sees them: remembered, or read together with others that are asked for at the same moment.
//!
//! A change forgets what it changed after its commit and before it is answered, so the next verify sees it. A read that was
//! on its way meanwhile may have seen the row from before: what it brings is given to those who asked before the change, but
//! not remembered, and nobody joins it any more.

mod cache;
mod holders;
mod read;
mod shard;
mod sharing;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use domain::{Outage, id::OrganizationId, ports::Recalled, secret::SecretHash, snapshot::Snapshot};
use prometheus::IntCounter;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use self::{cache::Cache, holders::Holders, read::Reader, sharing::Commons};
use crate::{
    connect::Pools,
    figures::Figures,
    freshness::Freshness,
    notice::Changed,
    outage::{self, Failure},
    settings::CacheSize,
};

/// Reads at once. A second one lets new misses go on while a slow one runs; more would only make batches smaller.
pub(crate) const READERS: usize = 2;

/// Keys that may wait for a read; who asks for further ones is told to come again.
const QUEUE: usize = 65_536;

/// The most keys in one read.
const BATCH: usize = 256;

/// Bytes of permissions in one read. Where keys are so wide that there are more, fewer keys are read at once.
const READ_BYTES: usize = 8 << 20;

/// Keys that are evicted before others get to run: a wide one takes a while to drop.
const EVICTED: usize = 16;

type Answer = Result<Option<Arc<Snapshot>>, Outage>;
type Waiters = Vec<oneshot::Sender<Answer>>;

/// Remembered keys, and the reads that are on their way.
#[derive(Debug)]
pub(crate) struct Snapshots {
    cache: Cache,
    commons: Arc<Commons>,
    holders: Holders,
    freshness: Arc<Freshness>,
    hits: IntCounter,
    misses: IntCounter,
    times_cleared: AtomicU64,
    /// Keys in the next read.
    batch: AtomicUsize,
    reads: Mutex<Reads>,
    asked: Notify,
}

#[derive(Debug, Default)]
struct Reads {
    waiting: HashMap<SecretHash, Waiters>,
    /// The same, in the order of asking.
    order: VecDeque<SecretHash>,
    running: [Option<Running>; READERS],
}

/// A read that has begun.
#[derive(Debug)]
struct Running {
    asked: HashMap<SecretHash, Waiters>,
    /// What changed since it began.
    changed: HashSet<SecretHash>,
    everything_changed: bool,
}

impl Running {
    fn is_current(&self, hash: &SecretHash) -> bool {
        !self.everything_changed && !self.changed.contains(hash)
    }
}

impl Snapshots {
    pub(crate) fn new(size: CacheSize, freshness: Arc<Freshness>, figures: &Figures) -> Self {
        let commons = Arc::<Commons>::default();
        Self {
            cache: Cache::new(size, commons.clone()),
            commons,
            holders: Holders::default(),
            freshness,
            hits: figures.hits.clone(),
            misses: figures.misses.clone(),
            times_cleared: AtomicU64::new(0),
            batch: AtomicUsize::new(BATCH),
            reads: Mutex::default(),
            asked: Notify::new(),
        }
    }

    /// What is remembered of the key with this secret, while that may be relied on.
    pub(crate) fn recall(&self, hash: &SecretHash) -> Recalled {
        let recalled = if self.freshness.holds() { self.cache.get(hash) } else { Recalled::Nothing };
        let recalled = match recalled {
            Recalled::Key(key) if key.is_outdated() => Recalled::Nothing,
            other => other,
        };
        let counter = if matches!(recalled, Recalled::Nothing) { &self.misses } else { &self.hits };
        counter.inc();
        recalled
    }

    /// Keys that are remembered, and the bytes they take, with what they share and what requests hold of it.
    pub(crate) fn size(&self) -> (usize, usize) {
        self.cache.size()
    }

    /// Keys that wait to be read.
    pub(crate) fn waiting(&self) -> usize {
        self.reads().waiting.len()
    }

    /// The key with this secret, read after this call; those who ask at the same time share one read.
    pub(crate) async fn read(&self, hash: &SecretHash) -> Answer {
        let (waiter, answer) = oneshot::channel();
        {
            let mut reads = self.reads();
            let Reads { waiting, order, running } = &mut *reads;
            // Past the bound a read that began before may be as old as what is remembered.
            let may_join = self.freshness.holds();
            let mut running = running.iter_mut().flatten().filter(|running| may_join && running.is_current(hash));
            if let Some(waiters) = running.find_map(|running| running.asked.get_mut(hash)) {
                waiters.push(waiter);
            } else if let Some(waiters) = waiting.get_mut(hash) {
                waiters.push(waiter);
            } else if waiting.len() < QUEUE {
                waiting.insert(*hash, vec![waiter]);
                order.push_back(*hash);
            } else {
                return Err(Outage::Unavailable("too many keys wait to be read".into()));
            }
        }
        self.asked.notify_one();
        answer.await.unwrap_or_else(|_| Err(Outage::Unavailable("the readers have ended".into())))
    }

    /// Forgets what was changed or removed.
    pub(crate) fn forget(&self, changed: &Changed) {
        let mut reads = self.reads();
        if changed.is_wide() {
            // What is read at this moment may hold what was before.
            for running in reads.running.iter_mut().flatten() {
                running.everything_changed = true;
            }
            self.commons.outdate(changed);
        }
        for hash in &changed.keys {
            for running in reads.running.iter_mut().flatten().filter(|running| running.asked.contains_key(hash)) {
                running.changed.insert(*hash);
            }
            self.cache.remove(hash);
        }
        // Among them are those of imported secrets that are now found in another organization, too.
        self.holders.forget(&changed.keys);
    }

    /// The organization that an imported secret belongs to, while what is remembered of it may be relied on.
    pub(crate) fn recall_holder(&self, secret: &SecretHash) -> Option<OrganizationId> {
        if self.freshness.holds() { self.holders.get(secret) } else { None }
    }

    /// To be asked before it is read, for [`Snapshots::remember_holder`].
    pub(crate) fn holder_changes(&self) -> u64 {
        self.holders.changes()
    }

    /// Remembers it, unless something changed since `changes` were counted.
    pub(crate) fn remember_holder(&self, secret: SecretHash, organization: OrganizationId, changes: u64) {
        self.holders.insert(secret, organization, changes);
    }

    /// Forgets it.
    pub(crate) fn forget_holder(&self, secret: SecretHash) {
        self.holders.forget(&[secret]);
    }

    /// Forgets all keys.
    pub(crate) fn forget_everything(&self) {
        let forgotten = {
            let mut reads = self.reads();
            for running in reads.running.iter_mut().flatten() {
                running.everything_changed = true;
            }
            self.times_cleared.fetch_add(1, Ordering::Relaxed);
            self.holders.clear();
            self.cache.take()
        };
        // A million keys take a while to drop: nobody waits for it, and no thread that answers does it.
        std::thread::spawn(move || drop(forgotten));
    }

    /// How often everything was forgotten, for those who remember something themselves.
    pub(crate) fn times_cleared(&self) -> u64 {
        self.times_cleared.load(Ordering::Relaxed)
    }

    /// Reads what is asked for until `stop`; one of [`READERS`] of these.
    pub(crate) async fn run(self: Arc<Self>, place: usize, pools: Pools, stop: CancellationToken) {
        let reader = Reader::new(pools, self.commons.clone());
        loop {
            tokio::select! {
                () = self.asked.notified() => {}
                () = stop.cancelled() => return,
            }
            while let Some(asked) = self.begin(place) {
                let read = reader.read(&asked).await;
                if let Ok((found, bytes)) = &read {
                    self.measure(found.len(), *bytes);
                }
                self.end(place, read.map(|(found, _)| found));
                while !self.cache.trim(EVICTED) {
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// So many keys were read, with so many bytes of permissions: the next read has about as many bytes as it may.
    fn measure(&self, keys: usize, bytes: usize) {
        let most = if bytes > READ_BYTES { keys * READ_BYTES / bytes } else { 2 * self.batch.load(Ordering::Relaxed) };
        self.batch.store(most.clamp(1, BATCH), Ordering::Relaxed);
    }

    fn begin(&self, place: usize) -> Option<Vec<SecretHash>> {
        let most = self.batch.load(Ordering::Relaxed);
        let mut reads = self.reads();
        let mut asked = HashMap::new();
        while asked.len() < most
            && let Some(hash) = reads.order.pop_front()
        {
            // Nobody may wait any more: the database was slow, and the clients have gone.
            let waiters = reads.waiting.remove(&hash).unwrap_or_default();
            if waiters.iter().any(|waiter| !waiter.is_closed()) {
                asked.insert(hash, waiters);
            }
        }
        if asked.is_empty() {
            return None;
        }
        if !reads.order.is_empty() {
            self.asked.notify_one();
        }
        let hashes = asked.keys().copied().collect();
        reads.running[place] = Some(Running { asked, changed: HashSet::new(), everything_changed: false });
        Some(hashes)
    }

    fn end(&self, place: usize, read: Result<read::Found, Failure>) {
        let mut answers = Vec::new();
        {
            let mut reads = self.reads();
            let Some(mut running) = reads.running[place].take() else { return };
            let asked = std::mem::take(&mut running.asked);
            match read {
                Ok(mut found) => {
                    for (hash, waiters) in asked {
                        let key = found.remove(&hash).transpose();
                        // Under the lock, so that no change comes between this check and the remembering.
                        if let Ok(key) = &key
                            && running.is_current(&hash)
                        {
                            self.cache.insert(hash, key.clone());
                        }
                        answers.push((waiters, key.map_err(Arc::new)));
                    }
                }
                Err(failure) => {
                    let failure = Arc::new(failure);
                    // Who waits for the next read would wait for the same.
                    reads.order.clear();
                    let waiting = std::mem::take(&mut reads.waiting).into_values();
                    answers.extend(waiting.map(|waiters| (waiters, Err(failure.clone()))));
                    answers.extend(asked.into_values().map(|waiters| (waiters, Err(failure.clone()))));
                }
            }
        }
        for (waiters, key) in answers {
            for waiter in waiters {
                // Who does not wait any more needs no answer.
                let _ = waiter.send(key.clone().map_err(|failure| outage::shared(&failure)));
            }
        }
    }

    fn reads(&self) -> MutexGuard<'_, Reads> {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(crate) mod tests;
