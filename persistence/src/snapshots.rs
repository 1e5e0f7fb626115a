//! The keys as verify sees them: remembered, or read together with others that are asked for at the same moment.
//!
//! A change forgets what it changed after its commit and before it is answered, so the next verify sees it. A read that was
//! on its way meanwhile may have seen the row from before: what it brings is given to those who asked before the change, but
//! not remembered, and nobody joins it any more.

mod cache;
mod read;
mod shard;
mod sharing;

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use domain::{Outage, ports::Recalled, secret::SecretHash, snapshot::Snapshot};
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

pub use self::cache::CacheSize;
use self::{cache::Cache, read::Reader};
use crate::{
    connect::Pools,
    feed::Freshness,
    outage::{self, Failure},
};

/// Reads at once. A second one lets new misses go on while a slow one runs; more would only make batches smaller.
pub(crate) const READERS: usize = 2;

/// Keys that may wait for a read; who asks for further ones is told to come again.
const QUEUE: usize = 65_536;

/// Keys in one read.
const BATCH: usize = 256;

type Answer = Result<Option<Arc<Snapshot>>, Outage>;
type Waiters = Vec<oneshot::Sender<Answer>>;

/// Remembered keys, and the reads that are on their way.
#[derive(Debug)]
pub(crate) struct Snapshots {
    cache: Cache,
    freshness: Arc<Freshness>,
    times_cleared: AtomicU64,
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
    changed: Vec<SecretHash>,
    everything_changed: bool,
}

impl Running {
    fn is_current(&self, hash: &SecretHash) -> bool {
        !self.everything_changed && !self.changed.contains(hash)
    }
}

impl Snapshots {
    pub(crate) fn new(size: CacheSize, freshness: Arc<Freshness>) -> Self {
        Self {
            cache: Cache::new(size),
            freshness,
            times_cleared: AtomicU64::new(0),
            reads: Mutex::default(),
            asked: Notify::new(),
        }
    }

    /// What is remembered of the key with this secret, while that may be relied on.
    pub(crate) fn recall(&self, hash: &SecretHash) -> Recalled {
        if self.freshness.holds() { self.cache.get(hash) } else { Recalled::Nothing }
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

    /// Forgets keys that were changed, made or removed.
    pub(crate) fn forget(&self, hashes: &[SecretHash]) {
        let mut reads = self.reads();
        for hash in hashes {
            for running in reads.running.iter_mut().flatten().filter(|running| running.asked.contains_key(hash)) {
                running.changed.push(*hash);
            }
            self.cache.remove(hash);
        }
    }

    /// Forgets all keys.
    pub(crate) fn forget_everything(&self) {
        let forgotten = {
            let mut reads = self.reads();
            for running in reads.running.iter_mut().flatten() {
                running.everything_changed = true;
            }
            self.times_cleared.fetch_add(1, Ordering::Relaxed);
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
        let reader = Reader::new(pools);
        loop {
            tokio::select! {
                () = self.asked.notified() => {}
                () = stop.cancelled() => return,
            }
            while let Some(asked) = self.begin(place) {
                let read = reader.read(&asked).await;
                self.end(place, read);
            }
        }
    }

    fn begin(&self, place: usize) -> Option<Vec<SecretHash>> {
        let mut reads = self.reads();
        let mut asked = HashMap::new();
        while asked.len() < BATCH
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
        reads.running[place] = Some(Running { asked, changed: Vec::new(), everything_changed: false });
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
pub(crate) mod tests {
    use std::{
        pin::{Pin, pin},
        task::{Context, Poll, Waker},
    };

    pub(crate) use super::shard::tests::key;
    use super::*;

    fn snapshots() -> Snapshots {
        Snapshots::new(CacheSize { keys: 10, bytes: usize::MAX }, Arc::new(Freshness::always()))
    }

    fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    fn found(key: &Arc<Snapshot>) -> read::Found {
        read::Found::from([(*key.hash(), Ok(key.clone()))])
    }

    #[test]
    fn those_who_ask_together_share_a_read() {
        let (snapshots, key) = (snapshots(), key(1));
        let mut first = pin!(snapshots.read(key.hash()));
        let mut second = pin!(snapshots.read(key.hash()));
        assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
        assert_eq!(snapshots.begin(0), Some(vec![*key.hash()]));
        let mut third = pin!(snapshots.read(key.hash()));
        assert!(poll(third.as_mut()).is_pending());
        assert_eq!(snapshots.begin(1), None, "who asks during the read joins it");
        snapshots.end(0, Ok(found(&key)));
        for waiter in [first, second, third] {
            assert!(matches!(poll(waiter), Poll::Ready(Ok(Some(read))) if Arc::ptr_eq(&read, &key)));
        }
        assert!(matches!(snapshots.recall(key.hash()), Recalled::Key(_)));
    }

    #[test]
    fn a_change_during_a_read_is_not_overtaken_by_it() {
        for everything in [false, true] {
            let (snapshots, old, new) = (snapshots(), key(1), key(1));
            let mut before = pin!(snapshots.read(old.hash()));
            assert!(poll(before.as_mut()).is_pending());
            assert!(snapshots.begin(0).is_some());
            if everything {
                snapshots.forget_everything();
            } else {
                snapshots.forget(&[*old.hash()]);
            }
            let mut after = pin!(snapshots.read(old.hash()));
            assert!(poll(after.as_mut()).is_pending());
            snapshots.end(0, Ok(found(&old)));
            assert!(matches!(poll(before), Poll::Ready(Ok(Some(read))) if Arc::ptr_eq(&read, &old)));
            assert!(matches!(snapshots.recall(old.hash()), Recalled::Nothing), "what may be old is not remembered");
            assert!(poll(after.as_mut()).is_pending(), "who asked after the change does not get what was before");
            assert!(snapshots.begin(0).is_some());
            snapshots.end(0, Ok(found(&new)));
            assert!(matches!(poll(after), Poll::Ready(Ok(Some(read))) if Arc::ptr_eq(&read, &new)));
            assert!(matches!(snapshots.recall(old.hash()), Recalled::Key(read) if Arc::ptr_eq(&read, &new)));
        }
    }

    #[test]
    fn a_failed_read_is_told_to_all_and_nothing_is_remembered() {
        let (snapshots, key) = (snapshots(), key(1));
        let mut asked = pin!(snapshots.read(key.hash()));
        assert!(poll(asked.as_mut()).is_pending());
        assert!(snapshots.begin(0).is_some());
        snapshots.end(0, Err(Failure::Timeout));
        assert!(matches!(poll(asked), Poll::Ready(Err(Outage::Unavailable(_)))));
        assert!(matches!(snapshots.recall(key.hash()), Recalled::Nothing));
    }
}
