//! Counting by locking: the rows are locked in the order of their ids, read, and written in one transaction.

use std::collections::BTreeMap;

use domain::clock::Timestamp;
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect, prelude::Uuid,
    sea_query::Expr,
};

use super::{
    Ask, Batch, Ledger, Lost, answer, assignments,
    state::{Served, State},
};
use crate::{clocks::DATABASE_TIME, convert, entity::api_key, outage::Failure, set::Set};

/// A key as it is in the transaction, and the time there.
#[derive(FromQueryResult)]
struct Row {
    #[sea_orm(nested)]
    key: api_key::Model,
    now: i64,
}

impl Ledger {
    /// Counts a batch and answers it.
    pub(super) async fn count_locked(&mut self, batch: Batch) -> Result<(), Lost> {
        match self.in_time(|| self.transact(&batch)).await {
            Ok(mut served) => {
                for (id, asks) in batch {
                    let Some(served) = served.remove(&id) else {
                        self.known.pop(&id);
                        let gone = asks.iter().map(|_| domain::verdict::Spent::Changed).collect();
                        answer(asks, gone);
                        continue;
                    };
                    self.known.put(id, served.after);
                    answer(asks, served.answers);
                }
                Ok(())
            }
            Err(failure) => {
                for id in batch.keys() {
                    self.known.pop(id);
                }
                Err(Lost { failure, asks: batch.into_values().flatten().collect() })
            }
        }
    }

    /// One transaction. A key that is not in the answer is gone.
    async fn transact(&self, batch: &Batch) -> Result<BTreeMap<Uuid, Served>, Failure> {
        let transaction = self.pools.begin_counting().await?;
        let now = match &self.clock {
            Some(clock) => Expr::value(clock.now().millis()),
            None => Expr::cust(DATABASE_TIME),
        };
        let rows = api_key::Entity::find()
            .column_as(now, "now")
            .filter(api_key::Column::Id.is_in(batch.keys().copied()))
            .order_by_asc(api_key::Column::Id)
            .lock_exclusive()
            .into_model::<Row>()
            .all(&transaction)
            .await?;
        let mut served = BTreeMap::new();
        let mut uses = Uses::default();
        for Row { key, now } in rows {
            let now = Timestamp::from_millis(now);
            let asks: &[Ask] = batch.get(&key.id).map_or(&[], Vec::as_slice);
            let outcome = State::of(&key)?.serve(asks, now);
            if outcome.admitted > 0 {
                uses.add(key.id, &outcome, now);
            }
            served.insert(key.id, outcome);
        }
        if uses.ids.is_empty() {
            transaction.rollback().await?;
        } else {
            let backend = transaction.get_database_backend();
            let set = Set::new(uses.ids, NAMES.into_iter().zip(uses.columns).collect());
            transaction.execute_raw(set.update(backend, &assignments("s.now"), "", "")).await?;
            transaction.commit().await?;
            self.pools.confirm_commit()?;
        }
        Ok(served)
    }
}

const NAMES: [&str; 6] = ["remaining", "last_refill_at", "window_start", "window_count", "admitted", "now"];

/// What a batch writes, a key at each index.
#[derive(Default)]
struct Uses {
    ids: Vec<Uuid>,
    columns: [Vec<Option<i64>>; 6],
}

impl Uses {
    fn add(&mut self, id: Uuid, served: &Served, now: Timestamp) {
        let after = &served.after.quota;
        let values = [
            after.remaining.map(convert::number),
            after.last_refill_at.map(Timestamp::millis),
            after.window_start.map(Timestamp::millis),
            Some(convert::number(after.window_count)),
            Some(convert::number(served.admitted)),
            Some(now.millis()),
        ];
        self.ids.push(id);
        for (column, value) in self.columns.iter_mut().zip(values) {
            column.push(value);
        }
    }
}
