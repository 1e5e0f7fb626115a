//! Counting on SQLite: a batch of uses is stored by appending one row to a journal, and the rows of the keys are written later,
//! many uses at once. A key's row is wide and has indexes; an entry of the journal has about 30 bytes.
//!
//! **Tables.** `counter_journal` has the counters of keys after a batch, as absolute values ([`crate::rows::counter_journal`]). `changed_counters` has
//! the keys with limits that were changed: a trigger inserts them, in the transaction of the change, whatever statement makes it.
//!
//! **States of a key.** *Unknown*: its row decides. *Folded*: the state in memory is that of the row. *Unfolded*: the state in
//! memory is that of the newest entry in the journal; the row may be older. *Overtaken*: a change was committed since; its row
//! decides.
//!
//! **Transitions.**
//! - A batch whose keys are folded or unfolded is decided by the memory and appended by one statement, on the condition that
//!   `changed_counters` is empty. Otherwise one transaction takes the changed keys, folds if there are any, reads the rows of
//!   these and of unknown keys, and appends. Either way its keys are unfolded once it is committed, and only then it is answered.
//! - A *fold* writes unfolded states into rows: the ledger in parts of [`MAX_FOLDED_KEYS`] between batches, then it removes the
//!   rows of the journal that were there when the fold began. It begins [`IDLE`] after the last batch or [`FOLD_INTERVAL`] after
//!   the last fold. A change, a command of another process and the start fold the whole journal inside their transaction
//!   ([`counter_journal::fold`]).
//! - If a statement failed, so that it is not known what was stored, or another process has written, everything becomes unknown:
//!   the next transaction folds the whole journal first.
//!
//! **Why it is exact.** All writers take turns: each holds SQLite's write lock from `BEGIN IMMEDIATE` (or its single statement)
//! until its commit.
//! 1. *No acknowledged use is lost.* It is in the journal until a transaction that has it in the row of its key removes it. A
//!    crash at any point leaves it in one of the two: before the commit of the append it was not acknowledged; a part of a fold
//!    leaves the journal as it is; the removal of rows comes after the parts, or with the last one. Folding an entry twice is
//!    harmless: entries are absolute, the last one of a key wins, and a row with a later use is left alone.
//! 2. *A change sees all uses and is kept.* It folds first, in its own transaction, so it reads and writes exact rows. An entry
//!    of an earlier `version` is never written into a row, and every change of a setting, a limit or a counter increases `version`.
//! 3. *The ledger sees each change before it decides again.* The key is in `changed_counters` when the change is committed. The
//!    condition of the append then fails, and the key's row is read in the transaction that removes it from there. If the change
//!    is rolled back, so are its fold and its entry in `changed_counters`: the journal and the memory are as before.
//! 4. *A row that is read is exact.* A key that is unknown or folded has no entry in the journal that is newer than its row; one
//!    that is overtaken is folded before its row is read. Unfolded keys are never evicted from memory.
//! 5. *Other processes.* A command folds when it opens the database and in each of its changes, as above. If the service appends
//!    before the command's transaction, the command folds it; if after, the service finds the command's changes in
//!    `changed_counters`. A fold by the command changes no value that the service has in memory. The service's own fold may then
//!    write a state once more (harmless), or one of an earlier `version` (skipped).
//!
//! **Bounds.** [`MAX_UNFOLDED`] keys and [`MAX_JOURNAL_BYTES`]: beyond either the ledger folds before it counts further
//! uses. If that fails, uses are answered with an outage.

mod connection;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use domain::{
    clock::{Clock, Timestamp},
    verify::result::ConsumeOutcome,
};
use prometheus::Histogram;
use sea_orm::{ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, QueryFilter, Statement, Value, prelude::Uuid};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::connection::JournalConnection;
use super::{Batch, Failed, RequestQueue, RequestsByKey, SpendRequest, answer, state::Served};
use crate::{
    counter_states::{CounterStates, CurrentState, MAX_UNFOLDED, State},
    db::{connect::Pools, counter_journal, error::DbFailure, retry},
    rows::{counter_journal::encode, entity::api_key},
};

/// From one fold to the next while uses are counted without a pause.
const FOLD_INTERVAL: Duration = Duration::from_secs(2);

/// A pause between two batches after which a fold begins.
const IDLE: Duration = Duration::from_millis(10);

/// The most keys in one transaction of a fold. Between two of them a batch is counted.
const MAX_FOLDED_KEYS: usize = 500;

/// The most bytes that the journal may have.
const MAX_JOURNAL_BYTES: usize = 16 << 20;

/// Counts by the memory and the journal.
pub(super) struct JournalCounter {
    pools: Pools,
    clock: Arc<dyn Clock>,
    states: Arc<CounterStates>,
    /// Whether the memory may differ from the database. So it is at the start.
    is_uncertain: bool,
    /// The number of the last row that was appended, or was tried to be. It only grows, so that a fold never removes a later row.
    seq: u64,
    /// The most bytes that the journal has. A change may have folded it.
    journal_bytes: usize,
    connection: JournalConnection,
    progress: Option<FoldProgress>,
    last_fold: Instant,
    last_batch: Instant,
    folds: Histogram,
}

/// A fold that is under way.
struct FoldProgress {
    /// All keys of it, in the order of their ids.
    keys: Vec<Uuid>,
    /// How many of them are folded.
    done: usize,
    /// The last row of the journal when it began.
    until: u64,
    /// The bytes up to that row.
    bytes: usize,
}

/// The outcome of a batch by key. A key that does not exist is missing.
type Outcomes = BTreeMap<Uuid, Served>;

impl JournalCounter {
    pub(super) fn new(pools: Pools, clock: Arc<dyn Clock>, states: Arc<CounterStates>, folds: Histogram) -> Self {
        let now = Instant::now();
        let connection = JournalConnection::new(&pools.ledger);
        Self {
            pools,
            clock,
            states,
            is_uncertain: true,
            seq: 0,
            journal_bytes: 0,
            connection,
            progress: None,
            last_fold: now,
            last_batch: now,
            folds,
        }
    }

    /// Counts the requests of the queue, one batch after the other, until `stop` is cancelled and the queue is empty.
    pub(super) async fn run(mut self: Box<Self>, mut queue: RequestQueue, stop: CancellationToken) {
        let mut batch = Batch::default();
        loop {
            let fold_at = self.fold_at();
            tokio::select! {
                biased;
                is_open = queue.receive(&mut batch) => {
                    if !is_open {
                        return self.close().await;
                    }
                    // Another process may have changed keys.
                    self.is_uncertain |= queue.record_batch(&batch);
                    if let Err(failed) = self.count(std::mem::take(&mut batch)).await {
                        queue.fail(failed);
                    }
                }
                () = tokio::time::sleep_until(fold_at.unwrap_or_else(Instant::now)), if fold_at.is_some() => {
                    self.fold_part().await;
                }
                () = self.connection.release_in_time() => {}
                () = stop.cancelled() => queue.requests.close(),
            }
        }
    }

    /// Counts and answers a batch.
    async fn count(&mut self, batch: Batch) -> Result<(), Failed> {
        match self.store(&batch.requests).await {
            Ok(mut outcomes) => {
                for (key, requests) in batch.requests {
                    let answers = outcomes.remove(&key).map_or_else(
                        || requests.iter().map(|_| ConsumeOutcome::Changed).collect(),
                        |served| served.answers,
                    );
                    answer(requests, answers);
                }
            }
            Err(failure) => {
                self.is_uncertain = true;
                return Err(Failed { failure, requests: batch.into_requests().collect() });
            }
        }
        self.last_batch = Instant::now();
        if self.progress.is_some() || self.is_fold_due() {
            self.fold_part().await;
        }
        Ok(())
    }

    /// Decides a batch, and stores its uses durably.
    async fn store(&mut self, batch: &RequestsByKey) -> Result<Outcomes, DbFailure> {
        self.connection.release_if_due().await;
        if self.is_full() {
            self.fold_all().await?;
        }
        let now = self.clock.now();
        self.seq += 1;
        let current = self.states.current(batch.keys());
        if !self.is_uncertain && batch.iter().all(|(key, requests)| decides_all(current.get(key), requests)) {
            let outcomes = serve(batch, &states_of(current), now);
            if self.append(&outcomes).await? {
                return Ok(outcomes);
            }
        }
        self.connection.release().await;
        let decide = retry::retry_in_time(self.pools.timeout, || self.read_and_append(batch, now));
        let Decided { outcomes, appended, changed, read, is_all_read } = decide.await?;
        self.pools.confirm_commit()?;
        if is_all_read {
            self.forget();
        } else {
            self.states.overtake(&changed);
        }
        self.states.insert_folded(read.into_iter());
        self.update_memory(&outcomes, appended);
        Ok(outcomes)
    }

    /// Appends the outcomes of a batch, unless a change has to be taken into account before. `false`: it has.
    async fn append(&mut self, outcomes: &Outcomes) -> Result<bool, DbFailure> {
        let Some((seq, entries)) = self.row(outcomes) else { return Ok(true) };
        let append = async || Ok(self.connection.append(seq, &entries).await?);
        if !retry::retry_in_time(self.pools.timeout, append).await? {
            return Ok(false);
        }
        self.pools.confirm_commit()?;
        self.update_memory(outcomes, entries.len());
        Ok(true)
    }

    /// Decides a batch with the rows of changed and unknown keys, and appends its outcomes, in one transaction.
    async fn read_and_append(&self, batch: &RequestsByKey, now: Timestamp) -> Result<Decided, DbFailure> {
        let transaction = self.pools.begin_counting().await?;
        let changed = counter_journal::changed_keys(&transaction).await?;
        let is_all_read = self.is_uncertain || changed.len() > counter_journal::MAX_CHANGED;
        if is_all_read || !changed.is_empty() {
            // A change has folded already. A statement that an operator ran has not.
            counter_journal::fold(&transaction).await?;
        }
        let mut current = if is_all_read { HashMap::new() } else { self.states.current(batch.keys()) };
        current.retain(|key, one| {
            // The memory of an unfolded key is right even if a request was decided by earlier settings. Its row is not.
            !changed.contains(key) && (one.is_unfolded || decides_all(Some(one), &batch[key]))
        });
        let mut known = states_of(current);
        let unknown = batch.keys().filter(|key| !known.contains_key(*key)).copied();
        let rows = api_key::Entity::find().filter(api_key::Column::Id.is_in(unknown)).all(&transaction).await?;
        let read = rows.iter().map(|row| Ok((row.id, State::of(row)?))).collect::<Result<Vec<_>, DbFailure>>()?;
        known.extend(read.iter().copied());
        let outcomes = serve(batch, &known, now);
        let mut appended = 0;
        if let Some((seq, entries)) = self.row(&outcomes) {
            appended = entries.len();
            let row: [Value; 2] = [seq.into(), entries.into()];
            let sql = "INSERT INTO counter_journal (seq, entries) VALUES (?, ?)";
            transaction.execute_raw(Statement::from_sql_and_values(DbBackend::Sqlite, sql, row)).await?;
        }
        if !changed.is_empty() {
            transaction.execute_unprepared("DELETE FROM changed_counters").await?;
        }
        transaction.commit().await?;
        Ok(Decided { outcomes, appended, changed, read, is_all_read })
    }

    /// The row of the journal for the outcomes of a batch. `None`: no use was admitted.
    fn row(&self, outcomes: &Outcomes) -> Option<(i64, Vec<u8>)> {
        let admitted: Vec<_> = admitted(outcomes).map(|(key, state)| (key, state.counters())).collect();
        let seq = i64::try_from(self.seq).unwrap_or(i64::MAX);
        (!admitted.is_empty()).then(|| (seq, encode(&admitted)))
    }

    /// Updates the memory after these bytes were appended.
    fn update_memory(&mut self, outcomes: &Outcomes, appended: usize) {
        self.journal_bytes += appended;
        self.states.insert_unfolded(admitted(outcomes), self.seq);
    }

    /// Updates the memory after the whole journal was folded.
    fn forget(&mut self) {
        self.states.clear();
        self.progress = None;
        self.journal_bytes = 0;
        self.is_uncertain = false;
        self.last_fold = Instant::now();
    }

    fn is_full(&self) -> bool {
        self.states.unfolded() >= MAX_UNFOLDED || self.journal_bytes >= MAX_JOURNAL_BYTES
    }

    fn is_fold_due(&self) -> bool {
        self.last_fold.elapsed() >= FOLD_INTERVAL && self.states.unfolded() > 0
    }

    /// When the next part of a fold is due if no batch comes before. `None`: there is nothing to fold.
    fn fold_at(&self) -> Option<Instant> {
        let is_idle_at = self.last_batch + IDLE;
        (self.states.unfolded() > 0).then(|| if self.progress.is_some() { self.last_batch } else { is_idle_at })
    }

    /// Folds a part. After a failure the fold begins again later: the journal still has everything.
    async fn fold_part(&mut self) {
        if let Err(failure) = self.try_fold_part().await {
            self.progress = None;
            (self.last_fold, self.last_batch) = (Instant::now(), Instant::now() + FOLD_INTERVAL);
            self.pools.health.observe(&failure);
            tracing::warn!(target: "claviger", error = %failure,
                "writing the counters of the journal into keys failed; they are kept and retried");
        }
    }

    /// Folds everything.
    async fn fold_all(&mut self) -> Result<(), DbFailure> {
        while self.states.unfolded() > 0 {
            self.try_fold_part().await?;
        }
        Ok(())
    }

    async fn try_fold_part(&mut self) -> Result<(), DbFailure> {
        self.connection.release().await;
        let _timer = self.folds.start_timer();
        if self.is_uncertain {
            retry::retry_in_time(self.pools.timeout, async || {
                let transaction = self.pools.begin_counting().await?;
                counter_journal::fold(&transaction).await?;
                Ok(transaction.commit().await?)
            })
            .await?;
            self.forget();
            return Ok(());
        }
        let (states, until, bytes) = (&self.states, self.seq, self.journal_bytes);
        let begin = || FoldProgress { keys: states.unfolded_keys(), done: 0, until, bytes };
        let progress = self.progress.get_or_insert_with(begin);
        let end = progress.keys.len().min(progress.done + MAX_FOLDED_KEYS);
        let counters = states.counters(&progress.keys[progress.done..end]);
        let (is_last, until, bytes) = (end == progress.keys.len(), progress.until, progress.bytes);
        retry::retry_in_time(self.pools.timeout, async || {
            // Before and not after: no caller waits for it, and what is written twice is the same.
            self.pools.confirm_commit()?;
            let transaction = self.pools.begin_counting().await?;
            counter_journal::write(&transaction, &counters).await?;
            if is_last {
                counter_journal::remove_until(&transaction, until).await?;
            }
            Ok(transaction.commit().await?)
        })
        .await?;
        progress.done = end;
        if is_last {
            self.states.end_fold(until);
            self.progress = None;
            self.journal_bytes -= bytes;
            self.last_fold = Instant::now();
        }
        Ok(())
    }

    /// Folds everything before the process ends. If that fails, the next start does it.
    async fn close(&mut self) {
        if let Err(failure) = self.fold_all().await {
            tracing::warn!(target: "claviger", error = %failure,
                "writing the counters of the journal into keys failed; the next start writes them");
        }
    }
}

/// A batch that was decided with rows.
struct Decided {
    outcomes: Outcomes,
    /// The bytes that were appended to the journal.
    appended: usize,
    changed: HashSet<Uuid>,
    read: Vec<(Uuid, State)>,
    /// Whether no state in memory was used, and the journal was folded.
    is_all_read: bool,
}

/// Whether a state is known, and all requests were decided by its settings.
fn decides_all(current: Option<&CurrentState>, requests: &[SpendRequest]) -> bool {
    current.is_some_and(|current| requests.iter().all(|request| current.state.matches_version(request)))
}

fn states_of(current: HashMap<Uuid, CurrentState>) -> HashMap<Uuid, State> {
    current.into_iter().map(|(key, current)| (key, current.state)).collect()
}

/// Decides the requests for keys with a known state.
fn serve(batch: &RequestsByKey, known: &HashMap<Uuid, State>, now: Timestamp) -> Outcomes {
    batch.iter().filter_map(|(key, requests)| Some((*key, known.get(key)?.serve(requests, now)))).collect()
}

/// The keys with admitted uses, and their states afterwards.
fn admitted(outcomes: &Outcomes) -> impl Iterator<Item = (Uuid, State)> {
    outcomes.iter().filter(|(_, served)| served.admitted > 0).map(|(key, served)| (*key, served.after))
}

#[cfg(test)]
mod tests;
