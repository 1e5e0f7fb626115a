//! A write-behind buffer of uses that need not be stored before they are answered. Cached keys count their uses in memory; those
//! with uses that are not stored gather here. They are written each second, every ten seconds while there are many, earlier when
//! there are very many, and when the process stops. A crash loses those of the last ten seconds and those that
//! are just being written.

mod daily;
mod hourly;
mod pace;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::{
    Outage,
    clock::Timestamp,
    ports,
    usage::{HourBucket, Outcome},
    verify::cached_key::CachedKey,
};
use sea_orm::{ConnectionTrait, DatabaseTransaction, prelude::Uuid};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    api_keys::rotate,
    db::{
        connect::Pools,
        counter_journal,
        dialect::{Dialect, bulk_update::BulkUpdate},
        error::DbFailure,
        retry,
    },
    ledger::WaitingUses,
    rows::convert,
    usage::{
        daily::DailyCounts,
        hourly::{Counts, UsageTable},
        pace::Pace,
    },
    workers::Workers,
};

/// From one flush to the next. The rest of a second is for writing, so that a use is stored after a second at the latest.
const FLUSH_INTERVAL: Duration = Duration::from_millis(700);

/// More gathered rows than this are written only every [`LONG_FLUSH_INTERVAL`]: a key that is used all the time costs as much to write
/// after ten seconds as after one.
const MAX_ROWS_EACH_SECOND: usize = 1_000;

/// From one flush of many rows to the next.
const LONG_FLUSH_INTERVAL: Duration = Duration::from_millis(9_600);

/// As many gathered keys start a flush before the interval ends. When as many counts by hour are buffered, a flush writes them before
/// it continues with the keys.
const FLUSH_AT_KEYS: usize = 100_000;

/// Keys whose uses are buffered while the database is unavailable or slow. Uses of further keys are dropped. The same for counts by
/// hour.
const MAX_BUFFERED: usize = 1_000_000;

/// The most keys in one transaction. Between two transactions the ledger can write.
const MAX_KEYS: usize = 500;

/// The most counts by hour in one transaction. Their rows are small and stored next to each other.
const MAX_COUNTS: usize = 1_000;

/// Verifies by hour, key and outcome, each with the key's organization.
type HourlyCounts = HashMap<(HourBucket, Uuid, Outcome), (Uuid, u64)>;

/// Keys with uses that are not stored, each with the number of its verifies that are stored.
#[derive(Debug, Default)]
struct Gathered {
    keys: Vec<(Arc<CachedKey>, u64)>,
    /// Bytes that the keys take, also those that the cache has evicted meanwhile.
    bytes: usize,
}

/// Uses that are not stored yet.
#[derive(Debug, Default)]
pub struct UsageBuffer {
    gathered: Mutex<Gathered>,
    /// The most bytes of gathered keys. Beyond it their uses are copied, so that the keys can be dropped.
    max_bytes: usize,
    /// Uses without their keys: copied, or from a flush that failed.
    copied: Mutex<BTreeMap<Uuid, UseCount>>,
    /// Verifies by hour that are not stored.
    hourly: Mutex<HourlyCounts>,
    /// The last uses of secrets that a rotation has replaced and that are still valid.
    last_uses: Mutex<BTreeMap<[u8; 32], Timestamp>>,
    /// Starts a flush before the interval ends.
    is_full: Notify,
    /// Uses that the ledger is counting. They go first.
    metered: WaitingUses,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct UseCount {
    organization: Uuid,
    count: u64,
    last: Timestamp,
}

impl UseCount {
    /// Adds uses of the same key.
    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.last = self.last.max(other.last);
    }
}

impl UsageBuffer {
    /// A buffer whose keys take at most an eighth of the bytes that the key cache may take. Its transactions give way to `metered`.
    pub(crate) fn new(cache_bytes: usize, metered: WaitingUses) -> Self {
        Self { max_bytes: cache_bytes / 8, metered, ..Self::default() }
    }

    /// Adds a key of whose verifies `written` are stored.
    fn add_key(&self, key: Arc<CachedKey>, written: u64) {
        let mut gathered = lock(&self.gathered);
        gathered.bytes += key.size() + key.shared_size();
        gathered.keys.push((key, written));
        if gathered.keys.len() == FLUSH_AT_KEYS {
            self.is_full.notify_one();
        }
        if gathered.bytes > self.max_bytes {
            let full = std::mem::take(&mut *gathered);
            drop(gathered);
            let uses: Vec<_> = self.uses_of(full).collect();
            self.put_back(&uses);
        }
    }

    /// Counts a verify by hour that the key's own counter does not count.
    fn add_verify(&self, key: &CachedKey, outcome: Outcome, at: Timestamp) {
        let mut counted = lock(&self.hourly);
        let count_key = (HourBucket::of(at), key.id().uuid(), outcome);
        if counted.len() < MAX_BUFFERED || counted.contains_key(&count_key) {
            counted.entry(count_key).or_insert((key.organization().uuid(), 0)).1 += 1;
        }
    }

    /// Starts the worker that flushes the buffer each second, and once more when `stop` is cancelled.
    pub(crate) fn spawn(self: &Arc<Self>, pools: &Pools, workers: &Workers) {
        // Requests would wait while a hundred thousand keys are sorted.
        workers.spawn_on_thread("usage", self.clone().run(pools.clone(), workers.stop.clone()));
    }

    async fn run(self: Arc<Self>, pools: Pools, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(FLUSH_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut last_flush = Instant::now();
        loop {
            let is_last = tokio::select! {
                biased;
                () = stop.cancelled() => true,
                _ = ticks.tick() => {
                    if self.is_worth_waiting(last_flush.elapsed()) {
                        continue;
                    }
                    false
                }
                () = self.is_full.notified() => false,
            };
            last_flush = Instant::now();
            if let Err(error) = self.flush(&pools, &stop).await {
                pools.health.observe_outage(&error);
                tracing::warn!(target: "claviger", %error, "writing usage counts failed; they are kept and retried");
            }
            if is_last {
                return;
            }
        }
    }

    /// Whether a flush is put off: there are many rows to write, and the last flush was this long ago.
    fn is_worth_waiting(&self, since_flush: Duration) -> bool {
        let rows = lock(&self.gathered).keys.len() + lock(&self.copied).len() + lock(&self.hourly).len();
        rows > MAX_ROWS_EACH_SECOND && since_flush + FLUSH_INTERVAL <= LONG_FLUSH_INTERVAL
    }

    /// Stores what is buffered. Once `stop` is cancelled, without pauses.
    async fn flush(&self, pools: &Pools, stop: &CancellationToken) -> Result<(), Outage> {
        let uses = self.take();
        let (mut pace, mut rest) = (self.pace(MAX_KEYS, pools, stop), uses.as_slice());
        while !rest.is_empty() {
            let (chunk, others) = rest.split_at(pace.rows().min(rest.len()));
            if let Err(error) = pace.step(write(pools, chunk)).await {
                self.put_back(rest);
                return Err(error);
            }
            self.add_successful(chunk);
            rest = others;
            let has_many_counts = lock(&self.hourly).len() >= FLUSH_AT_KEYS;
            if has_many_counts && let Err(error) = self.flush_hourly(pools, stop).await {
                self.put_back(rest);
                return Err(error);
            }
        }
        self.flush_hourly(pools, stop).await?;
        self.flush_last_uses(pools, stop).await
    }

    fn pace<'a>(&'a self, max_rows: usize, pools: &Pools, stop: &'a CancellationToken) -> Pace<'a> {
        let has_one_writer = !Dialect::of(&pools.ledger).is_shared();
        Pace::new(max_rows, self, has_one_writer, stop)
    }

    /// Whether uses will be dropped if they are not written soon.
    fn is_nearly_full(&self) -> bool {
        lock(&self.copied).len() > MAX_BUFFERED / 2
    }

    /// Counts successful verifies, which are stored with their keys, by hour. All of one flush count in the hour of the last.
    fn add_successful(&self, written: &[(Uuid, UseCount)]) {
        let mut counted = lock(&self.hourly);
        for (key, uses) in written.iter().filter(|(_, uses)| uses.count > 0) {
            let count_key = (HourBucket::of(uses.last), *key, Outcome::VALID);
            if counted.len() < MAX_BUFFERED || counted.contains_key(&count_key) {
                counted.entry(count_key).or_insert((uses.organization, 0)).1 += uses.count;
            }
        }
    }

    /// Stores the counts by hour and by day, many in one transaction.
    async fn flush_hourly(&self, pools: &Pools, stop: &CancellationToken) -> Result<(), Outage> {
        let mut counted: Vec<_> = std::mem::take(&mut *lock(&self.hourly)).into_iter().collect();
        // In the order of the rows, so that a transaction touches few pages.
        counted.sort_unstable_by_key(|(count_key, _)| *count_key);
        let (mut pace, mut rest) = (self.pace(MAX_COUNTS, pools, stop), counted.as_slice());
        while !rest.is_empty() {
            let (chunk, others) = rest.split_at(pace.rows().min(rest.len()));
            let (mut keys, mut organizations, mut days) = (Counts::new(), Counts::new(), DailyCounts::new());
            for ((hour, key, outcome), (organization, count)) in chunk {
                keys.insert((*hour, *key, *outcome), *count);
                *organizations.entry((*hour, *organization, *outcome)).or_default() += count;
                *days.entry((hour.day(), *organization, *outcome, *key)).or_default() += count;
            }
            let write = async || {
                let transaction = TimedTransaction::begin(pools).await?;
                hourly::add(&transaction.inner, UsageTable::Keys, &keys).await?;
                hourly::add(&transaction.inner, UsageTable::Organizations, &organizations).await?;
                daily::add(&transaction.inner, &days).await?;
                transaction.commit().await
            };
            if let Err(failure) = pace.step(retry::retry_in_time(pools.timeout, write)).await {
                let mut left = lock(&self.hourly);
                for (key, (organization, count)) in rest {
                    left.entry(*key).or_insert((*organization, 0)).1 += count;
                }
                return Err(failure.into());
            }
            rest = others;
        }
        Ok(())
    }

    /// Stores the last uses of replaced secrets, many in one transaction.
    async fn flush_last_uses(&self, pools: &Pools, stop: &CancellationToken) -> Result<(), Outage> {
        let ending: Vec<([u8; 32], Timestamp)> = std::mem::take(&mut *lock(&self.last_uses)).into_iter().collect();
        let (mut pace, mut rest) = (self.pace(MAX_KEYS, pools, stop), ending.as_slice());
        while !rest.is_empty() {
            let (chunk, others) = rest.split_at(pace.rows().min(rest.len()));
            let write = async || {
                let transaction = TimedTransaction::begin(pools).await?;
                for (hash, last) in chunk {
                    rotate::record_use(&transaction.inner, hash, *last).await?;
                }
                transaction.commit().await
            };
            if let Err(failure) = pace.step(retry::retry_in_time(pools.timeout, write)).await {
                let mut left = lock(&self.last_uses);
                for (hash, last) in rest {
                    left.entry(*hash).and_modify(|later| *later = (*later).max(*last)).or_insert(*last);
                }
                return Err(failure.into());
            }
            rest = others;
        }
        Ok(())
    }

    /// Buffers uses without their keys for the next flush.
    fn put_back(&self, uses: &[(Uuid, UseCount)]) {
        let mut left = lock(&self.copied);
        for (key, uses) in uses {
            if left.len() < MAX_BUFFERED || left.contains_key(key) {
                left.entry(*key).and_modify(|all| all.add(*uses)).or_insert(*uses);
            }
        }
    }

    /// Takes all buffered uses, each key once, in the order of their ids, in which the ledger locks rows.
    fn take(&self) -> Vec<(Uuid, UseCount)> {
        let gathered = std::mem::take(&mut *lock(&self.gathered));
        let left = std::mem::take(&mut *lock(&self.copied));
        let mut uses: Vec<(Uuid, UseCount)> = left.into_iter().collect();
        uses.extend(self.uses_of(gathered));
        uses.sort_unstable_by_key(|(key, _)| *key);
        uses.dedup_by(|(key, uses), (kept, all)| {
            if key == kept {
                all.add(*uses);
            }
            key == kept
        });
        uses
    }
}

impl ports::Usage for UsageBuffer {
    fn gather(&self, key: Arc<CachedKey>, stored: u64) {
        self.add_key(key, stored);
    }

    fn count(&self, key: &CachedKey, outcome: Outcome, at: Timestamp) {
        self.add_verify(key, outcome, at);
    }
}

impl UsageBuffer {
    /// The uses that keys have counted since they were stored.
    fn uses_of(&self, gathered: Gathered) -> impl Iterator<Item = (Uuid, UseCount)> {
        gathered.keys.into_iter().filter_map(|(key, written)| {
            let (count, last) = key.uses().store();
            if let Some(last) = last.filter(|_| key.is_ending()) {
                let mut ending = lock(&self.last_uses);
                ending.entry(*key.hash().bytes()).and_modify(|later| *later = (*later).max(last)).or_insert(last);
            }
            let organization = key.organization().uuid();
            Some((key.id().uuid(), UseCount { organization, count: count - written, last: last? }))
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A transaction that stores counts.
struct TimedTransaction {
    inner: DatabaseTransaction,
    begin: Instant,
}

impl TimedTransaction {
    /// Waits for a connection, and begins. Fails if the SQLite file was removed, replaced or changed: that is checked before counts
    /// are written, and not after, because no caller waits for them, and counts that were written before the failure would be written
    /// twice.
    async fn begin(pools: &Pools) -> Result<Self, DbFailure> {
        pools.confirm_commit()?;
        Ok(Self { inner: pools.begin_counting().await?, begin: Instant::now() })
    }

    /// Commits. Returns how long the statements took, without waiting for the connection and the commit.
    async fn commit(self) -> Result<Duration, DbFailure> {
        let took = self.begin.elapsed();
        self.inner.commit().await?;
        Ok(took)
    }
}

/// Stores uses of keys. Returns how long the statements took.
async fn write(pools: &Pools, chunk: &[(Uuid, UseCount)]) -> Result<Duration, Outage> {
    let ids: Vec<Uuid> = chunk.iter().map(|(key, _)| *key).collect();
    let counts = chunk.iter().map(|(_, uses)| Some(convert::number(uses.count))).collect();
    let lasts = chunk.iter().map(|(_, uses)| Some(uses.last.millis())).collect();
    let set = BulkUpdate::new(ids.clone(), vec![("count", counts), ("last", lasts)]);
    let statements = set.updates(
        &pools.ledger,
        "request_count = request_count + s.count, \
         last_request_at = CASE WHEN last_request_at > s.last THEN last_request_at ELSE s.last END",
        "",
    );
    let write = async || {
        let is_shared = Dialect::of(&pools.ledger).is_shared();
        if is_shared && let [statement] = statements.as_slice() {
            let begin = Instant::now();
            pools.ledger.execute_raw(statement.clone()).await?;
            return Ok::<_, DbFailure>(begin.elapsed());
        }
        let transaction = TimedTransaction::begin(pools).await?;
        if !is_shared {
            counter_journal::before_uses_are_added(&transaction.inner, &ids).await?;
        }
        for statement in &statements {
            transaction.inner.execute_raw(statement.clone()).await?;
        }
        transaction.commit().await
    };
    Ok(retry::retry_in_time(pools.timeout, write).await?)
}

#[cfg(test)]
mod tests;
