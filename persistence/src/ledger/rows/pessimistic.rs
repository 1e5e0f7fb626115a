//! Pessimistic counting: rows are locked in the order of their ids, read, and written in one transaction.

use std::collections::{BTreeMap, HashMap};

use domain::{clock::Timestamp, verify::result::ConsumeOutcome};
use sea_orm::{
    ConnectionTrait, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
    prelude::Uuid,
    sea_query::{Asterisk, Expr, Query},
};

use super::RowWriter;
use crate::{
    counter_states::State,
    db::{
        dialect::{DATABASE_TIME, Dialect, MAX_IDS, bulk_update::BulkUpdate},
        error::DbFailure,
        retry,
    },
    ledger::{Failed, RequestsByKey, SpendRequest, answer, state::Served},
    rows::{convert, entity::api_key},
};

/// A key's row in the transaction, and the time.
#[derive(FromQueryResult)]
struct LockedKeyRow {
    #[sea_orm(nested)]
    key: api_key::Model,
    now: i64,
}

impl RowWriter {
    /// Counts and answers requests.
    pub(super) async fn count_pessimistically(
        &self,
        batch: RequestsByKey,
        states: &mut HashMap<Uuid, State>,
    ) -> Result<(), Failed> {
        match retry::retry_in_time(self.pools.timeout, || self.transact(&batch)).await {
            Ok(mut served) => {
                for (id, requests) in batch {
                    let Some(served) = served.remove(&id) else {
                        states.remove(&id);
                        let gone = requests.iter().map(|_| ConsumeOutcome::Changed).collect();
                        answer(requests, gone);
                        continue;
                    };
                    states.insert(id, served.after);
                    answer(requests, served.answers);
                }
                Ok(())
            }
            Err(failure) => {
                for id in batch.keys() {
                    states.remove(id);
                }
                Err(Failed { failure, requests: batch.into_values().flatten().collect() })
            }
        }
    }

    /// Counts a batch in one transaction. A key that is not in the result no longer exists.
    async fn transact(&self, batch: &RequestsByKey) -> Result<BTreeMap<Uuid, Served>, DbFailure> {
        let transaction = self.pools.begin_counting().await?;
        let now = match &self.clock {
            Some(clock) => Expr::value(clock.now().millis()),
            None => Expr::cust(DATABASE_TIME),
        };
        let (ids, mut rows): (Vec<Uuid>, _) = (batch.keys().copied().collect(), Vec::new());
        for ids in ids.chunks(MAX_IDS) {
            let locked = api_key::Entity::find()
                .filter(Dialect::of(&transaction).is_one_of(api_key::Column::Id, ids))
                .order_by_asc(api_key::Column::Id)
                .lock_exclusive();
            // Evaluated outside of the subquery, so that it is the time after the row was locked.
            let mut select = Query::select();
            select.column(Asterisk).expr_as(now.clone(), "now").from_subquery(locked.into_query(), "locked");
            let statement = transaction.get_database_backend().build(&select);
            rows.extend(LockedKeyRow::find_by_statement(statement).all(&transaction).await?);
        }
        if let (None, Some(row)) = (&self.clock, rows.last()) {
            self.database_clock.observe(Timestamp::from_millis(row.now));
        }
        let mut served = BTreeMap::new();
        let mut uses = Consumption::default();
        for LockedKeyRow { key, now } in rows {
            let now = Timestamp::from_millis(now);
            let requests: &[SpendRequest] = batch.get(&key.id).map_or(&[], Vec::as_slice);
            let outcome = State::of(&key)?.serve(requests, now);
            if outcome.admitted > 0 {
                uses.add(key.id, &outcome, now);
            }
            served.insert(key.id, outcome);
        }
        if uses.ids.is_empty() {
            transaction.rollback().await?;
        } else {
            let set = BulkUpdate::new(uses.ids, NAMES.into_iter().zip(uses.columns).collect());
            for statement in set.updates(&transaction, ASSIGNMENTS, "") {
                transaction.execute_raw(statement).await?;
            }
            transaction.commit().await?;
        }
        Ok(served)
    }
}

/// What is written to the rows.
const ASSIGNMENTS: &str = "remaining = s.remaining, last_refill_at = s.last_refill_at, window_start = s.window_start, \
                           window_count = s.window_count, request_count = request_count + s.admitted, \
                           last_request_at = GREATEST(last_request_at, s.now)";

/// The columns of a [`Consumption`].
const NAMES: [&str; 6] = ["remaining", "last_refill_at", "window_start", "window_count", "admitted", "now"];

/// What a batch writes. Each index of the vectors is a key.
#[derive(Default)]
struct Consumption {
    ids: Vec<Uuid>,
    columns: [Vec<Option<i64>>; 6],
}

impl Consumption {
    fn add(&mut self, id: Uuid, served: &Served, now: Timestamp) {
        let after = served.after.counters();
        let values = [
            after.remaining,
            after.last_refill_at,
            after.window_start,
            Some(after.window_count),
            Some(convert::number(served.admitted)),
            Some(now.millis()),
        ];
        self.ids.push(id);
        for (column, value) in self.columns.iter_mut().zip(values) {
            column.push(value);
        }
    }
}
