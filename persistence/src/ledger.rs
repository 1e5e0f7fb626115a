//! Counting uses of metered keys: exact over all nodes, and durable before they are answered.
//!
//! Group commit: uses queue for one writer. While one transaction commits, the next batch gathers; no timers. A batch locks
//! the rows of its keys in the order of their ids, lets the domain's arithmetic serve the uses of each key together, writes
//! all keys in one statement, commits, and only then gives each waiting verify its own answer.

use std::{collections::BTreeMap, sync::Arc};

use domain::{
    Outage,
    clock::{Clock, Timestamp},
    id::KeyId,
    quota::Quota,
    refusal::Refusal,
    verdict::Spent,
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect,
    Statement, prelude::Uuid, sea_query::Expr,
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    connect::Pools,
    convert,
    entity::api_key,
    outage::{self, Failure},
    set::Set,
};

/// Uses that may wait for the writer before further ones wait for a place.
const QUEUE: usize = 65_536;

/// Uses in one transaction.
const BATCH: usize = 4_096;

/// A use that waits to be counted.
pub(crate) struct Ask {
    key: KeyId,
    version: u64,
    answer: oneshot::Sender<Result<Spent, Outage>>,
}

/// The way to the writer.
#[derive(Clone, Debug)]
pub(crate) struct Queue(mpsc::Sender<Ask>);

impl Queue {
    /// Waits until the use is counted or refused.
    pub(crate) async fn spend(&self, key: KeyId, version: u64) -> Result<Spent, Outage> {
        let gone = || Outage::Unavailable("the ledger has ended".into());
        let (answer, answered) = oneshot::channel();
        self.0.send(Ask { key, version, answer }).await.map_err(|_| gone())?;
        answered.await.unwrap_or_else(|_| Err(gone()))
    }
}

/// The writer.
pub(crate) struct Ledger {
    pools: Pools,
    /// Whose time decides; `None`: PostgreSQL's, so that nodes agree.
    clock: Option<Arc<dyn Clock>>,
    queue: mpsc::Receiver<Ask>,
}

/// A ledger and the way to it.
pub(crate) fn open(pools: Pools, clock: Option<Arc<dyn Clock>>) -> (Queue, Ledger) {
    let (sender, queue) = mpsc::channel(QUEUE);
    (Queue(sender), Ledger { pools, clock, queue })
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
                    self.settle(std::mem::take(&mut batch)).await;
                }
                () = stop.cancelled() => self.queue.close(),
            }
        }
    }

    async fn settle(&self, batch: Vec<Ask>) {
        // Ordered by id: two nodes that lock the same keys do not wait for each other in a circle.
        let mut keys: BTreeMap<Uuid, Vec<Ask>> = BTreeMap::new();
        for ask in batch {
            keys.entry(ask.key.uuid()).or_default().push(ask);
        }
        // A connection that died silently must not hold up every verify behind it.
        let counted = tokio::time::timeout(self.pools.timeout, self.count(&keys)).await;
        match counted.unwrap_or(Err(Failure::Timeout)) {
            Ok(answers) => {
                for (ask, answer) in keys.into_values().flatten().zip(answers) {
                    // A verify that does not wait any more has been counted all the same.
                    let _ = ask.answer.send(Ok(answer));
                }
            }
            Err(failure) => {
                let failure = Arc::new(failure);
                for ask in keys.into_values().flatten() {
                    let _ = ask.answer.send(Err(outage::shared(&failure)));
                }
            }
        }
    }

    /// One transaction. Answers in the order of the keys and of the asks of each.
    async fn count(&self, keys: &BTreeMap<Uuid, Vec<Ask>>) -> Result<Vec<Spent>, Failure> {
        let transaction = self.pools.begin().await?;
        let now = match &self.clock {
            Some(clock) => Expr::value(clock.now().millis()),
            None => Expr::cust("(extract(epoch FROM clock_timestamp()) * 1000)::bigint"),
        };
        let rows = api_key::Entity::find()
            .column_as(now, "now")
            .filter(api_key::Column::Id.is_in(keys.keys().copied()))
            .order_by_asc(api_key::Column::Id)
            .lock_exclusive()
            .into_model::<LockedRow>()
            .all(&transaction)
            .await?;
        let mut rows: BTreeMap<Uuid, LockedRow> = rows.into_iter().map(|row| (row.key.id, row)).collect();
        let mut answers = Vec::new();
        let mut uses = Uses::default();
        for (id, asks) in keys {
            match rows.remove(id) {
                None => answers.extend(asks.iter().map(|_| Spent::Changed)),
                Some(row) => answers.extend(row.serve(asks, &mut uses)?),
            }
        }
        if uses.ids.is_empty() {
            transaction.rollback().await?;
        } else {
            transaction.execute_raw(uses.statement(transaction.get_database_backend())).await?;
            transaction.commit().await?;
        }
        Ok(answers)
    }
}

/// A key as it is in the transaction, and the time there.
#[derive(FromQueryResult)]
struct LockedRow {
    #[sea_orm(nested)]
    key: api_key::Model,
    now: i64,
}

impl LockedRow {
    /// Serves the uses of one key together, and gives each its own answer.
    fn serve(&self, asks: &[Ask], uses: &mut Uses) -> Result<Vec<Spent>, Failure> {
        let now = Timestamp::from_millis(self.now);
        let is_current = |ask: &&Ask| self.key.enabled && convert::number(ask.version) == self.key.version;
        let wanted = asks.iter().filter(is_current).count() as u64;
        let expired = self.key.expires_at.is_some_and(|end| self.now >= end);
        let spend = convert::quota(&self.key)?.spend(if expired { 0 } else { wanted }, now);
        if spend.admitted > 0 {
            uses.add(self.key.id, &spend.after, spend.admitted, now);
        }
        let requests = convert::count(self.key.request_count).unwrap_or(0);
        let mut served = 0;
        let answer = |ask| {
            if !is_current(&ask) {
                return Spent::Changed;
            }
            if expired {
                return Spent::Refused(Refusal::KeyExpired);
            }
            served += 1;
            match spend.refused {
                Some(refusal) if served > spend.admitted => Spent::Refused(refusal),
                _ => {
                    let later = spend.admitted - served;
                    let remaining = spend.after.remaining.map(|remaining| remaining + later);
                    Spent::Admitted {
                        quota: Quota { remaining, ..spend.after },
                        request_count: requests + served,
                        at: now,
                    }
                }
            }
        };
        Ok(asks.iter().map(answer).collect())
    }
}

/// What a batch writes, a key at each index.
#[derive(Default)]
struct Uses {
    ids: Vec<Uuid>,
    columns: [Vec<Option<i64>>; 6],
}

impl Uses {
    fn add(&mut self, id: Uuid, after: &Quota, admitted: u64, now: Timestamp) {
        self.ids.push(id);
        let values = [
            after.remaining.map(convert::number),
            after.last_refill_at.map(Timestamp::millis),
            after.window_start.map(Timestamp::millis),
            Some(convert::number(after.window_count)),
            Some(convert::number(admitted)),
            Some(now.millis()),
        ];
        for (column, value) in self.columns.iter_mut().zip(values) {
            column.push(value);
        }
    }

    fn statement(self, backend: DbBackend) -> Statement {
        let names = ["remaining", "last_refill_at", "window_start", "window_count", "admitted", "now"];
        Set::new(self.ids, names.into_iter().zip(self.columns).collect()).update(
            backend,
            "remaining = s.remaining, last_refill_at = s.last_refill_at, window_start = s.window_start, \
             window_count = s.window_count, request_count = request_count + s.admitted, \
             last_request_at = CASE WHEN last_request_at > s.now THEN last_request_at ELSE s.now END",
        )
    }
}
