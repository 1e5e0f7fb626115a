//! The states of keys that decide whether they may be used, in memory. On SQLite the ledger decides by them, and reads of keys are
//! completed with them; see `ledger::journal` for what the states mean.

use std::{
    collections::{HashMap, HashSet},
    num::NonZeroUsize,
    sync::{Mutex, MutexGuard, PoisonError},
};

use domain::{
    clock::Timestamp,
    keys::{api_key::ApiKey, quota::Quota},
};
use lru::LruCache;
use sea_orm::prelude::Uuid;

use crate::rows::{
    convert::{self, BrokenRow},
    counter_journal::KeyCounters,
    entity::api_key,
};

/// Keys whose state is cached, at about 250 bytes each.
pub(crate) const MAX_CACHED_STATES: NonZeroUsize = NonZeroUsize::new(65_536).expect("not zero");

/// Keys whose state may be in the journal alone, at about 200 bytes each. At the bound the ledger folds before it counts further
/// uses.
pub(crate) const MAX_UNFOLDED: usize = 65_536;

/// The columns of a key that decide whether it may be used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct State {
    pub(crate) version: i64,
    pub(crate) enabled: bool,
    pub(crate) expires_at: Option<i64>,
    pub(crate) quota: Quota,
    /// Successful verifies.
    pub(crate) requests: u64,
    /// The last of them.
    pub(crate) last_request_at: Option<i64>,
}

impl State {
    pub(crate) fn of(row: &api_key::Model) -> Result<Self, BrokenRow> {
        Ok(Self {
            version: row.version,
            enabled: row.enabled,
            expires_at: row.expires_at,
            quota: convert::quota(row)?,
            requests: convert::count(row.request_count).unwrap_or(0),
            last_request_at: row.last_request_at,
        })
    }

    /// The columns that uses change, with the version of the settings by which they were counted.
    pub(crate) fn counters(&self) -> KeyCounters {
        KeyCounters {
            version: self.version,
            remaining: self.quota.remaining.map(convert::number),
            last_refill_at: self.quota.last_refill_at.map(Timestamp::millis),
            window_start: self.quota.window_start.map(Timestamp::millis),
            window_count: convert::number(self.quota.window_count),
            request_count: convert::number(self.requests),
            last_request_at: self.last_request_at,
        }
    }

    /// Whether it has uses that a key does not have, with the same settings.
    pub(crate) fn is_later_than(&self, key: &ApiKey) -> bool {
        convert::number(key.version) == self.version && self.requests > key.request_count
    }
}

/// The states of keys on SQLite.
#[derive(Debug)]
pub(crate) struct CounterStates(Mutex<Contents>);

#[derive(Debug)]
struct Contents {
    /// States that are in the journal and maybe not in their rows yet. None is evicted.
    unfolded: HashMap<Uuid, Unfolded>,
    /// States that are in their rows.
    folded: LruCache<Uuid, State>,
}

#[derive(Clone, Copy, Debug)]
struct Unfolded {
    state: State,
    /// The row of the journal that has it.
    seq: u64,
    /// A change was committed since, and this state was folded. The row decides.
    is_overtaken: bool,
}

impl Contents {
    fn current(&mut self, key: &Uuid) -> Option<CurrentState> {
        let found = self.unfolded.get(key);
        if found.is_some_and(|one| one.is_overtaken) {
            return None;
        }
        let state = found.map(|one| one.state).or_else(|| self.folded.get(key).copied())?;
        Some(CurrentState { state, is_unfolded: found.is_some() })
    }
}

/// The state of a key, which is not older than its row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CurrentState {
    pub(crate) state: State,
    /// Whether the row may be older.
    pub(crate) is_unfolded: bool,
}

impl CounterStates {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Contents { unfolded: HashMap::new(), folded: LruCache::new(MAX_CACHED_STATES) }))
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The states of those of these keys that need not be read from their rows.
    pub(crate) fn current<'a>(&self, keys: impl Iterator<Item = &'a Uuid>) -> HashMap<Uuid, CurrentState> {
        let mut contents = self.lock();
        keys.filter_map(|key| Some((*key, contents.current(key)?))).collect()
    }

    /// Stores states that the journal has since its row `seq`.
    pub(crate) fn insert_unfolded(&self, added: impl Iterator<Item = (Uuid, State)>, seq: u64) {
        let mut contents = self.lock();
        for (key, state) in added {
            contents.folded.pop(&key);
            contents.unfolded.insert(key, Unfolded { state, seq, is_overtaken: false });
        }
    }

    /// Stores states that were read from rows.
    pub(crate) fn insert_folded(&self, read: impl Iterator<Item = (Uuid, State)>) {
        let mut contents = self.lock();
        for (key, state) in read {
            contents.unfolded.remove(&key);
            contents.folded.put(key, state);
        }
    }

    /// Keys whose rows have to be read again before they are used.
    pub(crate) fn overtake(&self, changed: &HashSet<Uuid>) {
        let mut contents = self.lock();
        for key in changed {
            contents.folded.pop(key);
            if let Some(unfolded) = contents.unfolded.get_mut(key) {
                // Not removed: a read that found the row before the change may be completed with it.
                unfolded.is_overtaken = true;
            }
        }
    }

    /// Forgets everything. What the journal has was folded before.
    pub(crate) fn clear(&self) {
        let mut contents = self.lock();
        contents.unfolded.clear();
        contents.folded.clear();
    }

    /// The number of keys whose state may be in the journal alone.
    pub(crate) fn unfolded(&self) -> usize {
        self.lock().unfolded.len()
    }

    /// These keys, in the order of their ids.
    pub(crate) fn unfolded_keys(&self) -> Vec<Uuid> {
        let mut keys: Vec<Uuid> = self.lock().unfolded.keys().copied().collect();
        keys.sort_unstable();
        keys
    }

    /// The counters of those of these keys that are unfolded.
    pub(crate) fn counters(&self, keys: &[Uuid]) -> Vec<(Uuid, KeyCounters)> {
        let contents = self.lock();
        let unfolded = keys.iter().filter_map(|key| Some((*key, contents.unfolded.get(key)?)));
        unfolded.filter(|(_, one)| !one.is_overtaken).map(|(key, one)| (key, one.state.counters())).collect()
    }

    /// What the journal had up to its row `until` is in the rows.
    pub(crate) fn end_fold(&self, until: u64) {
        let mut contents = self.lock();
        let Contents { unfolded, folded } = &mut *contents;
        unfolded.retain(|key, one| {
            let stays = one.seq > until;
            if !stays && !one.is_overtaken {
                folded.put(*key, one.state);
            }
            stays
        });
    }

    /// Puts uses that are not in the row yet into a key that was read.
    pub(crate) fn complete(&self, mut key: ApiKey) -> ApiKey {
        let contents = self.lock();
        let id = key.id.uuid();
        let known = contents.unfolded.get(&id).map(|one| &one.state).or_else(|| contents.folded.peek(&id));
        if let Some(state) = known.filter(|state| state.is_later_than(&key)) {
            key.settings.remaining = state.quota.remaining;
            key.last_refill_at = state.quota.last_refill_at;
            key.window_start = state.quota.window_start;
            key.window_count = state.quota.window_count;
            key.request_count = state.requests;
            key.last_request_at = key.last_request_at.max(state.last_request_at.map(Timestamp::from_millis));
        }
        key
    }
}
