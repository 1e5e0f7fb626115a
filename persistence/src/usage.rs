//! Noting uses that need not be counted before they are answered: gathered by key in memory and written each second, when
//! many keys have gathered, and at the end. What a crash loses is at most the last second.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use domain::{Outage, clock::Timestamp, id::KeyId};
use sea_orm::{ConnectionTrait, prelude::Uuid};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{connect::Pools, convert, outage::Failure, set::Set};

const EVERY: Duration = Duration::from_secs(1);

/// Keys that gather before they are written without waiting for the second to end.
const MANY: usize = 10_000;

/// Keys that are remembered while the database is away; uses of further ones are forgotten.
const MOST: usize = 1_000_000;

/// Keys in one transaction: between two of them the ledger gets its turn.
const CHUNK: usize = 500;

/// Uses that are not written yet.
#[derive(Debug, Default)]
pub(crate) struct Book {
    keys: Mutex<BTreeMap<Uuid, Uses>>,
    many: Notify,
}

#[derive(Clone, Copy, Debug)]
struct Uses {
    count: u64,
    last: Timestamp,
}

impl Book {
    /// Notes so many uses of a key.
    pub(crate) fn note(&self, key: KeyId, count: u64, at: Timestamp) {
        let len = self.merge(key.uuid(), Uses { count, last: at });
        if len == MANY {
            self.many.notify_one();
        }
    }

    fn merge(&self, key: Uuid, uses: Uses) -> usize {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = keys.get_mut(&key) {
            known.count += uses.count;
            known.last = known.last.max(uses.last);
        } else if keys.len() < MOST {
            keys.insert(key, uses);
        }
        keys.len()
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
            if let Err(error) = self.flush(&pools).await {
                tracing::warn!(target: "claviger", %error, "uses could not be written, they are kept for the next time");
            }
            if is_last {
                return;
            }
        }
    }

    async fn flush(&self, pools: &Pools) -> Result<(), Outage> {
        let gathered = std::mem::take(&mut *self.keys.lock().unwrap_or_else(PoisonError::into_inner));
        let gathered: Vec<(Uuid, Uses)> = gathered.into_iter().collect();
        for (n, chunk) in gathered.chunks(CHUNK).enumerate() {
            if let Err(error) = write(pools, chunk).await {
                for (key, uses) in &gathered[n * CHUNK..] {
                    self.merge(*key, *uses);
                }
                return Err(error);
            }
        }
        Ok(())
    }
}

async fn write(pools: &Pools, chunk: &[(Uuid, Uses)]) -> Result<(), Outage> {
    let ids = chunk.iter().map(|(key, _)| *key).collect();
    let counts = chunk.iter().map(|(_, uses)| Some(convert::number(uses.count))).collect();
    let lasts = chunk.iter().map(|(_, uses)| Some(uses.last.millis())).collect();
    let set = Set::new(ids, vec![("count", counts), ("last", lasts)]);
    let backend = pools.write.get_database_backend();
    let statement = set.update(
        backend,
        "request_count = request_count + s.count, \
         last_request_at = CASE WHEN last_request_at > s.last THEN last_request_at ELSE s.last END",
    );
    match tokio::time::timeout(pools.timeout, pools.write.execute_raw(statement)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Failure::from(error).into()),
        Err(_) => Err(Failure::Timeout.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: usize) -> KeyId {
        KeyId::from_uuid(Uuid::from_u128(n as u128))
    }

    #[tokio::test]
    async fn uses_of_a_key_gather_and_many_keys_are_written_at_once() {
        let book = Book::default();
        let at = |millis| Timestamp::from_millis(millis);
        book.note(key(1), 1, at(5));
        book.note(key(1), 0, at(9));
        book.note(key(1), 2, at(7));
        let uses = book.keys.lock().expect("not poisoned").get(&key(1).uuid()).copied().expect("noted");
        assert_eq!((uses.count, uses.last), (3, at(9)));
        for n in 2..=MANY {
            book.note(key(n), 1, at(0));
        }
        book.many.notified().await;
    }
}
