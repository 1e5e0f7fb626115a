//! A read-through cache of keys by the hashes of their secrets, with batched reads: misses of the same moment share a statement.
//!
//! A change invalidates what it changed after its commit and before its answer, so the next verify sees it. A read that was under
//! way may have seen the row as it was before. Its result is returned to the requests that came before the change, but is not
//! cached, and no later request joins it.

mod cache;
pub(crate) mod first_use;
mod interner;
pub(crate) mod key_formats;
mod load;
pub(crate) mod notification;
mod secret_owners;
mod shard;
pub(crate) mod staleness;
#[cfg(test)]
pub(crate) mod tests;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use domain::{
    Outage,
    id::OrganizationId,
    keys::secret::SecretHash,
    ports::{self, Cached},
    verify::cached_key::CachedKey,
};
use prometheus::IntCounter;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use crate::key_cache::{
    cache::Cache,
    interner::Interner,
    load::{Loaded, Reader},
    secret_owners::SecretOwners,
};
use crate::{
    db::{
        connect::Pools,
        error::{self, DbFailure},
        message_size::MAX_PARAMETER_BYTES,
    },
    key_cache::{notification::Invalidations, staleness::Staleness},
    metrics::counters::Counters,
    settings::CacheSize,
    workers::Workers,
};

/// Reads that run at the same time. The second one serves new misses while the first one is slow. More would only make the
/// batches smaller.
const READERS: usize = 2;

/// Keys that may wait for a read. Requests for further keys get an outage.
const MAX_WAITING: usize = 65_536;

/// The most keys in one read. Each hash is sent with 67 bytes.
const MAX_KEYS_PER_READ: usize = MAX_PARAMETER_BYTES / 67;

/// Bytes of permissions in one read. If a read returns more, the next one has fewer keys.
const MAX_BYTES_PER_READ: usize = 8 << 20;

/// Keys that are evicted before the task yields: dropping a key with many permissions takes a while.
const MAX_EVICTIONS: usize = 16;

/// The most attempts to read a key whose secret was not used before. The second attempt finds that its use is recorded.
const MAX_FIRST_USES: usize = 8;

type Answer = Result<Option<Loaded>, Outage>;
type Waiters = Vec<oneshot::Sender<Answer>>;

/// Cached keys, and the reads that are under way.
#[derive(Debug)]
pub struct KeyCache {
    cache: Cache,
    interner: Arc<Interner>,
    secret_owners: SecretOwners,
    staleness: Arc<Staleness>,
    hits: IntCounter,
    misses: IntCounter,
    /// Counts calls of [`KeyCache::invalidate_all`].
    generation: AtomicU64,
    /// The most keys in the next read.
    batch: AtomicUsize,
    reads: Mutex<Reads>,
    /// Wakes a reader.
    requested: Notify,
    /// To record first uses of secrets. Set when the readers are started.
    pools: OnceLock<Pools>,
}

#[derive(Debug, Default)]
struct Reads {
    /// Keys that no read has taken yet.
    waiting: HashMap<SecretHash, Waiters>,
    /// The same keys, in the order of the requests.
    order: VecDeque<SecretHash>,
    running: [Option<Running>; READERS],
}

/// A read that is under way.
#[derive(Debug)]
struct Running {
    requested: HashMap<SecretHash, Waiters>,
    /// Keys that were invalidated since it began.
    changed: HashSet<SecretHash>,
    all_changed: bool,
}

impl Running {
    fn is_current(&self, hash: &SecretHash) -> bool {
        !self.all_changed && !self.changed.contains(hash)
    }
}

impl KeyCache {
    pub(crate) fn new(size: CacheSize, staleness: Arc<Staleness>, counters: &Counters) -> Self {
        let interner = Arc::<Interner>::default();
        Self {
            cache: Cache::new(size, interner.clone()),
            interner,
            secret_owners: SecretOwners::default(),
            staleness,
            hits: counters.hits.clone(),
            misses: counters.misses.clone(),
            generation: AtomicU64::new(0),
            batch: AtomicUsize::new(MAX_KEYS_PER_READ),
            reads: Mutex::default(),
            requested: Notify::new(),
            pools: OnceLock::new(),
        }
    }

    /// The cached key with this secret. A miss, whatever is cached, while the staleness bound is exceeded.
    pub(crate) fn get_cached(&self, hash: &SecretHash) -> Cached {
        let cached = if self.staleness.is_within_bound() { self.cache.get(hash) } else { Cached::Nothing };
        let cached = match cached {
            Cached::Key(key) if key.is_invalidated() => Cached::Nothing,
            other => other,
        };
        let counter = if matches!(cached, Cached::Nothing) { &self.misses } else { &self.hits };
        counter.inc();
        cached
    }

    /// The number of cached keys, and the bytes that they take, values which they share included.
    pub(crate) fn size(&self) -> (usize, usize) {
        self.cache.size()
    }

    /// The number of keys that wait for a read.
    pub(crate) fn waiting(&self) -> usize {
        self.reads().waiting.len()
    }

    /// Reads the key with this secret from the database and caches it. Concurrent calls share one read. The result is never older
    /// than the call, with regard to changes by this process and changes by others of which the notification has arrived.
    ///
    /// The first use of a secret since its rotation is recorded before the key is returned, see [`first_use`].
    pub(crate) async fn load(&self, hash: &SecretHash) -> Result<Option<Arc<CachedKey>>, Outage> {
        for _ in 0..MAX_FIRST_USES {
            match self.read(hash).await? {
                Some(Loaded { is_unused: true, .. }) => self.record_first_use(hash).await?,
                found => return Ok(found.map(|loaded| loaded.key)),
            }
        }
        Err(Outage::Unavailable("the first use of a secret was not recorded".into()))
    }

    async fn record_first_use(&self, hash: &SecretHash) -> Result<(), Outage> {
        let pools = self.pools.get().ok_or_else(|| Outage::Unavailable("the key readers have not started".into()))?;
        let recorded = first_use::record_first_use(pools, hash).await;
        recorded.inspect_err(|failure| pools.health.observe(failure))?;
        // The next read must not join one that has begun before.
        self.invalidate(&Invalidations { keys: vec![*hash], ..Invalidations::default() });
        Ok(())
    }

    async fn read(&self, hash: &SecretHash) -> Answer {
        let (waiter, answer) = oneshot::channel();
        {
            let mut reads = self.reads();
            let Reads { waiting, order, running } = &mut *reads;
            // While the staleness bound is exceeded, the notification of a change since the begin of a read may be missing.
            let may_join = self.staleness.is_within_bound();
            let mut running = running.iter_mut().flatten().filter(|running| may_join && running.is_current(hash));
            if let Some(waiters) = running.find_map(|running| running.requested.get_mut(hash)) {
                waiters.push(waiter);
            } else if let Some(waiters) = waiting.get_mut(hash) {
                waiters.push(waiter);
            } else if waiting.len() < MAX_WAITING {
                waiting.insert(*hash, vec![waiter]);
                order.push_back(*hash);
            } else {
                return Err(Outage::Unavailable("too many keys are waiting to be read".into()));
            }
        }
        self.requested.notify_one();
        answer.await.unwrap_or_else(|_| Err(Outage::Unavailable("the key readers have stopped".into())))
    }

    /// Removes what was changed from the cache.
    pub(crate) fn invalidate(&self, changed: &Invalidations) {
        let mut reads = self.reads();
        if changed.is_wide() {
            // It is not known which of the keys that are being read this concerns.
            for running in reads.running.iter_mut().flatten() {
                running.all_changed = true;
            }
            self.interner.invalidate(changed);
        }
        if !changed.organizations.is_empty() {
            // When a deleted organization is restored, its keys, which are cached as unknown, exist again.
            self.cache.clear_unknown();
            // The same applies to the organizations of imported secrets.
            self.secret_owners.clear();
        }
        for hash in &changed.keys {
            for running in reads.running.iter_mut().flatten().filter(|running| running.requested.contains_key(hash)) {
                running.changed.insert(*hash);
            }
            self.cache.remove(hash);
        }
        // Some of the hashes may be of imported secrets that another organization now has as well.
        self.secret_owners.invalidate(&changed.keys);
    }

    /// The cached organization of an imported secret. `None`: not cached, or the staleness bound is exceeded.
    pub(crate) fn get_cached_secret_owner(&self, secret: &SecretHash) -> Option<OrganizationId> {
        if self.staleness.is_within_bound() { self.secret_owners.get(secret) } else { None }
    }

    /// The generation of the cached organizations of imported secrets. Taken before one is read from the database, for
    /// [`KeyCache::cache_secret_owner`].
    pub(crate) fn secret_owner_changes(&self) -> u64 {
        self.secret_owners.changes()
    }

    /// Caches the organization of an imported secret, unless one was invalidated since `changes` was taken.
    pub(crate) fn cache_secret_owner(&self, secret: SecretHash, organization: OrganizationId, changes: u64) {
        self.secret_owners.insert(secret, organization, changes);
    }

    /// Removes the organization of an imported secret from the cache.
    pub(crate) fn invalidate_secret_owner(&self, secret: SecretHash) {
        self.secret_owners.invalidate(&[secret]);
    }

    /// Removes everything from the cache, for example after a change that was not made through this process.
    pub fn invalidate_all(&self) {
        let removed = {
            let mut reads = self.reads();
            for running in reads.running.iter_mut().flatten() {
                running.all_changed = true;
            }
            self.generation.fetch_add(1, Ordering::Relaxed);
            self.secret_owners.clear();
            self.cache.take()
        };
        // Dropping a million keys takes a while, which must not block a thread that serves requests.
        std::thread::spawn(move || drop(removed));
    }

    /// How often [`KeyCache::invalidate_all`] was called, for other caches that have to follow it.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// Starts the workers that read keys.
    pub(crate) fn spawn(self: &Arc<Self>, pools: &Pools, workers: &Workers) {
        let _ = self.pools.set(pools.clone());
        for reader in 0..READERS {
            workers.spawn(self.clone().run(reader, pools.clone(), workers.stop.clone()));
        }
    }

    async fn run(self: Arc<Self>, reader: usize, pools: Pools, stop: CancellationToken) {
        let loader = Reader::new(pools, self.interner.clone());
        loop {
            tokio::select! {
                () = self.requested.notified() => {}
                () = stop.cancelled() => return,
            }
            while let Some(requested) = self.begin(reader) {
                let read = loader.read(&requested).await;
                if let Ok((found, bytes)) = &read {
                    self.adapt_batch(found.len(), *bytes);
                }
                self.end(reader, read.map(|(found, _)| found));
                while !self.cache.trim(MAX_EVICTIONS) {
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// Adapts the number of keys in the next read to the bytes of permissions that the last one returned.
    fn adapt_batch(&self, keys: usize, bytes: usize) {
        let max = if bytes > MAX_BYTES_PER_READ {
            keys * MAX_BYTES_PER_READ / bytes
        } else {
            2 * self.batch.load(Ordering::Relaxed)
        };
        self.batch.store(max.clamp(1, MAX_KEYS_PER_READ), Ordering::Relaxed);
    }

    /// Takes the keys of the next read by reader number `reader`. `None`: none wait.
    fn begin(&self, reader: usize) -> Option<Vec<SecretHash>> {
        let max = self.batch.load(Ordering::Relaxed);
        let mut reads = self.reads();
        let mut requested = HashMap::new();
        while requested.len() < max
            && let Some(hash) = reads.order.pop_front()
        {
            // All requests for it may have been cancelled while the database was slow.
            let waiters = reads.waiting.remove(&hash).unwrap_or_default();
            if waiters.iter().any(|waiter| !waiter.is_closed()) {
                requested.insert(hash, waiters);
            }
        }
        if requested.is_empty() {
            return None;
        }
        if !reads.order.is_empty() {
            self.requested.notify_one();
        }
        let hashes = requested.keys().copied().collect();
        reads.running[reader] = Some(Running { requested, changed: HashSet::new(), all_changed: false });
        Some(hashes)
    }

    /// Caches and returns what reader number `reader` has read.
    fn end(&self, reader: usize, read: Result<load::Found, DbFailure>) {
        let mut answers = Vec::new();
        {
            let mut reads = self.reads();
            let Some(mut running) = reads.running[reader].take() else { return };
            let requested = std::mem::take(&mut running.requested);
            match read {
                Ok(mut found) => {
                    for (hash, waiters) in requested {
                        let key = found.remove(&hash).transpose();
                        // Under the lock, so that it cannot be invalidated between this check and the insertion.
                        if let Ok(key) = &key
                            && running.is_current(&hash)
                            && key.as_ref().is_none_or(|loaded| !loaded.is_unused)
                        {
                            self.cache.insert(hash, key.as_ref().map(|loaded| loaded.key.clone()));
                        }
                        answers.push((waiters, key.map_err(Arc::new)));
                    }
                }
                Err(failure) => {
                    let failure = Arc::new(failure);
                    // Requests that wait for the next read fail at once, because it would most likely fail as well.
                    reads.order.clear();
                    let waiting = std::mem::take(&mut reads.waiting).into_values();
                    answers.extend(waiting.map(|waiters| (waiters, Err(failure.clone()))));
                    answers.extend(requested.into_values().map(|waiters| (waiters, Err(failure.clone()))));
                }
            }
        }
        for (waiters, key) in answers {
            for waiter in waiters {
                // Fails if the request was cancelled.
                let _ = waiter.send(key.clone().map_err(|failure| error::shared(&failure)));
            }
        }
    }

    fn reads(&self) -> MutexGuard<'_, Reads> {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl ports::KeyCache for KeyCache {
    fn get_cached(&self, hash: &SecretHash) -> Cached {
        self.get_cached(hash)
    }

    async fn load(&self, hash: &SecretHash) -> Result<Option<Arc<CachedKey>>, Outage> {
        self.load(hash).await
    }

    fn invalidate(&self, hash: &SecretHash) {
        self.invalidate(&Invalidations { keys: vec![*hash], ..Invalidations::default() });
    }
}
