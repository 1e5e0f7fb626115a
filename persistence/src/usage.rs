//! Storing uses that need not be counted before they are answered: the keys themselves count them; those with uncounted
//! uses gather here and are written each second, when many have gathered, and at the end. What a crash loses is at most the
//! last second.

mod hours;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::{
    Outage,
    clock::Timestamp,
    snapshot::Snapshot,
    usage::{Hour, Outcome},
};
use sea_orm::{ConnectionTrait, prelude::Uuid};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use self::hours::{Counts, Of};
use crate::{
    connect::Pools,
    convert,
    outage::{self, Failure},
    retry, rotation,
    set::Set,
};

/// From one writing to the next; what is noted is in the database a second later at the latest.
const EVERY: Duration = Duration::from_millis(700);

/// A writing is spread over this time: in one piece it would hold up those who verify, on a machine with few cores.
const SPREAD: Duration = Duration::from_millis(300);

/// Keys that gather before they are written without waiting for the second to end.
const MANY: usize = 100_000;

/// Keys whose uses are remembered while the database is away; uses of further ones are forgotten.
const MOST: usize = 1_000_000;

/// Keys in one transaction: between two of them the ledger gets its turn.
const CHUNK: usize = 500;

/// Counts in one transaction: their rows are small and lie together.
const COUNTS: usize = 1_000;

/// A transaction that takes longer is followed by smaller ones, down to a few keys.
const SLOW: Duration = Duration::from_millis(10);
const FEW: usize = 25;

/// Verifies by hour, key and outcome, each with the key's organization.
type Counted = HashMap<(Hour, Uuid, Outcome), (Uuid, u64)>;

/// Keys with uses that are not written yet, each with the number of verifies that is written.
#[derive(Debug, Default)]
struct Gathered {
    keys: Vec<(Arc<Snapshot>, u64)>,
    /// Bytes that the keys may hold in memory, also those that the cache has evicted meanwhile.
    bytes: usize,
}

/// Keys with uses that are not written yet.
#[derive(Debug, Default)]
pub(crate) struct Book {
    gathered: Mutex<Gathered>,
    /// The most bytes that gathered keys may hold before their uses are taken from them, so that the keys can go.
    most_bytes: usize,
    /// What could not be written.
    left: Mutex<BTreeMap<Uuid, Uses>>,
    /// Verifies by hour that are not written yet.
    counted: Mutex<Counted>,
    /// The last uses of secrets that are being replaced.
    ending: Mutex<BTreeMap<[u8; 32], Timestamp>>,
    many: Notify,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Uses {
    organization: Uuid,
    count: u64,
    last: Timestamp,
}

impl Uses {
    /// Adds uses of the same key.
    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.last = self.last.max(other.last);
    }
}

impl Book {
    /// One whose keys hold at most an eighth of what the cache may hold.
    pub(crate) fn beside(cache_bytes: usize) -> Self {
        Self { most_bytes: cache_bytes / 8, ..Self::default() }
    }

    /// Takes a key of whose verifies so many are written.
    pub(crate) fn gather(&self, key: Arc<Snapshot>, written: u64) {
        let mut gathered = lock(&self.gathered);
        gathered.bytes += key.size() + key.shared_size();
        gathered.keys.push((key, written));
        if gathered.keys.len() == MANY {
            self.many.notify_one();
        }
        if gathered.bytes > self.most_bytes {
            let full = std::mem::take(&mut *gathered);
            drop(gathered);
            let uses: Vec<_> = self.uses_of(full).collect();
            self.keep(&uses);
        }
    }

    /// Counts a verify that the key does not count itself.
    pub(crate) fn count(&self, key: &Snapshot, outcome: Outcome, at: Timestamp) {
        let mut counted = lock(&self.counted);
        let place = (Hour::of(at), key.id().uuid(), outcome);
        if counted.len() < MOST || counted.contains_key(&place) {
            counted.entry(place).or_insert((key.organization().uuid(), 0)).1 += 1;
        }
    }

    /// Writes until `stop`, and then once more.
    pub(crate) async fn run(self: Arc<Self>, pools: Pools, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let is_last = tokio::select! {
                _ = ticks.tick() => false,
                () = self.many.notified() => false,
                () = stop.cancelled() => true,
            };
            let spread = if is_last { Duration::ZERO } else { SPREAD };
            if let Err(error) = self.flush(&pools, spread).await {
                pools.health.observe_outage(&error);
                tracing::warn!(target: "claviger", %error, "uses could not be written, they are kept for the next time");
            }
            if is_last {
                return;
            }
        }
    }

    async fn flush(self: &Arc<Self>, pools: &Pools, spread: Duration) -> Result<(), Outage> {
        // Not on a thread that answers requests: a hundred thousand keys take a while to sort.
        let book = self.clone();
        let taken = tokio::task::spawn_blocking(move || book.take()).await;
        let Some(gathered) = outage::finished(taken) else { return Ok(()) };
        let begin = Instant::now();
        let (mut size, mut rest) = (CHUNK, gathered.as_slice());
        while !rest.is_empty() {
            let done = gathered.len() - rest.len();
            tokio::time::sleep_until(begin + part(spread, done, gathered.len())).await;
            let (chunk, others) = rest.split_at(size.min(rest.len()));
            let started = Instant::now();
            if let Err(error) = write(pools, chunk).await {
                self.keep(rest);
                return Err(error);
            }
            self.count_valid(chunk);
            // Keys that are far apart in a large database take long: the ledger must not wait behind them.
            size = if started.elapsed() > SLOW { (size / 2).max(FEW) } else { (size * 2).min(CHUNK) };
            rest = others;
        }
        self.flush_counted(pools).await?;
        self.flush_ending(pools).await
    }

    /// Counts verifies that are written with their keys by hour, too: a second's in the hour of the last of them.
    fn count_valid(&self, written: &[(Uuid, Uses)]) {
        let mut counted = lock(&self.counted);
        for (key, uses) in written.iter().filter(|(_, uses)| uses.count > 0) {
            let place = (Hour::of(uses.last), *key, Outcome::VALID);
            if counted.len() < MOST || counted.contains_key(&place) {
                counted.entry(place).or_insert((uses.organization, 0)).1 += uses.count;
            }
        }
    }

    /// Writes what was counted by hour, many in one transaction.
    async fn flush_counted(&self, pools: &Pools) -> Result<(), Outage> {
        let mut counted: Vec<_> = std::mem::take(&mut *lock(&self.counted)).into_iter().collect();
        // In the order of the rows, so that a piece touches few pages.
        counted.sort_unstable_by_key(|(place, _)| *place);
        for (place, chunk) in counted.chunks(COUNTS).enumerate() {
            let (mut keys, mut organizations) = (Counts::new(), Counts::new());
            for ((hour, key, outcome), (organization, count)) in chunk {
                keys.insert((*hour, *key, *outcome), *count);
                *organizations.entry((*hour, *organization, *outcome)).or_default() += count;
            }
            let write = async || {
                let transaction = pools.begin_counting().await?;
                hours::add(&transaction, Of::Keys, &keys).await?;
                hours::add(&transaction, Of::Organizations, &organizations).await?;
                Ok(transaction.commit().await?)
            };
            if let Err(failure) = retry::in_time(pools.timeout, retry::until_it_stands(pools.timeout, write)).await {
                let mut left = lock(&self.counted);
                for (key, (organization, count)) in &counted[place * COUNTS..] {
                    left.entry(*key).or_insert((*organization, 0)).1 += count;
                }
                return Err(failure.into());
            }
        }
        Ok(())
    }

    /// Writes when secrets that are being replaced were last used, many in one transaction.
    async fn flush_ending(&self, pools: &Pools) -> Result<(), Outage> {
        let ending: Vec<([u8; 32], Timestamp)> = std::mem::take(&mut *lock(&self.ending)).into_iter().collect();
        for (place, chunk) in ending.chunks(CHUNK).enumerate() {
            let write = async || {
                let transaction = pools.begin_counting().await?;
                for (hash, last) in chunk {
                    rotation::used(&transaction, hash, *last).await?;
                }
                Ok(transaction.commit().await?)
            };
            if let Err(failure) = retry::in_time(pools.timeout, retry::until_it_stands(pools.timeout, write)).await {
                let mut left = lock(&self.ending);
                for (hash, last) in &ending[place * CHUNK..] {
                    left.entry(*hash).and_modify(|later| *later = (*later).max(*last)).or_insert(*last);
                }
                return Err(failure.into());
            }
        }
        Ok(())
    }

    /// Keeps uses for the next time.
    fn keep(&self, uses: &[(Uuid, Uses)]) {
        let mut left = lock(&self.left);
        for (key, uses) in uses {
            if left.len() < MOST || left.contains_key(key) {
                left.entry(*key).and_modify(|all| all.add(*uses)).or_insert(*uses);
            }
        }
    }

    /// Everything that is to be written, each key once: in the order of their ids, as the ledger locks them.
    fn take(&self) -> Vec<(Uuid, Uses)> {
        let gathered = std::mem::take(&mut *lock(&self.gathered));
        let left = std::mem::take(&mut *lock(&self.left));
        let mut uses: Vec<(Uuid, Uses)> = left.into_iter().collect();
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

impl Book {
    /// The uses that the keys have counted since they were written.
    fn uses_of(&self, gathered: Gathered) -> impl Iterator<Item = (Uuid, Uses)> {
        gathered.keys.into_iter().filter_map(|(key, written)| {
            let (count, last) = key.uses().store();
            if let Some(last) = last.filter(|_| key.is_ending()) {
                let mut ending = lock(&self.ending);
                ending.entry(*key.hash().bytes()).and_modify(|later| *later = (*later).max(last)).or_insert(last);
            }
            let organization = key.organization().uuid();
            Some((key.id().uuid(), Uses { organization, count: count - written, last: last? }))
        })
    }
}

/// The part of a time that goes with so much of a whole.
fn part(time: Duration, done: usize, whole: usize) -> Duration {
    let count = |n| u32::try_from(n).unwrap_or(u32::MAX);
    time * count(done) / count(whole).max(1)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn write(pools: &Pools, chunk: &[(Uuid, Uses)]) -> Result<(), Outage> {
    let ids = chunk.iter().map(|(key, _)| *key).collect();
    let counts = chunk.iter().map(|(_, uses)| Some(convert::number(uses.count))).collect();
    let lasts = chunk.iter().map(|(_, uses)| Some(uses.last.millis())).collect();
    let set = Set::new(ids, vec![("count", counts), ("last", lasts)]);
    let backend = pools.ledger.get_database_backend();
    let statement = set.update(
        backend,
        "request_count = request_count + s.count, \
         last_request_at = CASE WHEN last_request_at > s.last THEN last_request_at ELSE s.last END",
        "",
        "",
    );
    let write = async || Ok::<_, Failure>(pools.ledger.execute_raw(statement.clone()).await?);
    retry::in_time(pools.timeout, retry::until_it_stands(pools.timeout, write)).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshots::tests::key;

    fn note(book: &Book, key: &Arc<Snapshot>, verifies: u64, at: i64) {
        if let Some(written) = key.uses().add(verifies, Timestamp::from_millis(at)) {
            book.gather(key.clone(), written);
        }
    }

    #[tokio::test]
    async fn uses_of_a_key_gather_and_many_keys_are_written_at_once() {
        let book = Book::beside(1 << 30);
        let (one, twin) = (key(1), key(1));
        note(&book, &one, 1, 5);
        note(&book, &one, 0, 9);
        note(&book, &one, 1, 7);
        note(&book, &twin, 1, 8);
        let organization = one.organization().uuid();
        let all = Uses { organization, count: 3, last: Timestamp::from_millis(9) };
        assert_eq!(book.take(), [(one.id().uuid(), all)], "read twice, it is still one key");
        assert_eq!(book.take(), []);
        note(&book, &one, 1, 11);
        assert_eq!(book.take(), [(one.id().uuid(), Uses { organization, count: 1, last: Timestamp::from_millis(11) })]);
        for n in 0..u32::try_from(MANY).expect("small") {
            note(&book, &key(n), 1, 0);
        }
        book.many.notified().await;
    }

    #[test]
    fn keys_that_take_much_memory_are_not_held_for_their_uses() {
        let book = Book::beside(0);
        let key = key(1);
        note(&book, &key, 2, 5);
        assert_eq!(Arc::strong_count(&key), 1, "only its uses are left");
        note(&book, &key, 1, 7);
        let organization = key.organization().uuid();
        let all = Uses { organization, count: 3, last: Timestamp::from_millis(7) };
        assert_eq!(book.take(), [(key.id().uuid(), all)]);
    }
}
