//! Idempotency records. The record of a request is stored in the transaction of its change, by
//! [`crate::database::change_log`]. A repeated request gets the first response.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use domain::{
    Error, Outage,
    audit::context::IdempotencyKey,
    bounds::{MAX_IDEMPOTENCY_KEYS_PER_HOUR, MAX_STORED_RESPONSE_BYTES, MAX_STORED_RESPONSE_BYTES_PER_HOUR},
    clock::Timestamp,
    ports::IdempotencyRecords,
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait, Query, SelectStatement, SimpleExpr},
};

use crate::{
    database::{Database, batches::first_ids},
    db::error::DbFailure,
    retention_periods::IDEMPOTENCY_RECORDS_MS,
    rows::{
        convert,
        entity::{audit_chain, request},
    },
};

/// Records of requests with an idempotency key.
pub struct IdempotencyStore {
    database: Arc<Database>,
    /// The most idempotency keys that an organization may use in an hour, by the last run of [`IdempotencyStore::enforce_bounds`].
    max_per_hour: AtomicU64,
}

#[async_trait]
impl IdempotencyRecords for IdempotencyStore {
    async fn find(&self, idempotency_key: &IdempotencyKey, now: Timestamp) -> Result<Option<String>, Error> {
        let this = request::Entity::find_by_id(idempotency_key.scope.to_vec());
        let found = this.clone().one(&self.database.pools.read).await.map_err(DbFailure::from)?;
        match found {
            None => Ok(None),
            // Expired by the node's clock. It is removed if it is also expired by the database's.
            Some(row) if row.done_at <= now.plus_millis(-IDEMPOTENCY_RECORDS_MS).millis() => {
                let cutoff = self.database.clocks.no_later_than_database(now, IDEMPOTENCY_RECORDS_MS);
                let remove = request::Entity::delete_many()
                    .filter(request::Column::Scope.eq(idempotency_key.scope.to_vec()))
                    .filter(request::Column::DoneAt.into_expr().lte(cutoff))
                    .exec(&self.database.pools.write);
                remove.await.map_err(DbFailure::from)?;
                self.database.pools.confirm_commit().map_err(Outage::from)?;
                let left = this.one(&self.database.pools.read).await.map_err(DbFailure::from)?;
                left.map_or(Ok(None), |row| known(row, idempotency_key))
            }
            Some(row) => known(row, idempotency_key),
        }
    }

    fn max_per_hour(&self) -> u64 {
        self.max_per_hour.load(Ordering::Relaxed)
    }

    async fn store_response(&self, idempotency_key: &IdempotencyKey, answer: &str) -> Result<(), Outage> {
        let (scope, body) = (idempotency_key.scope.to_vec(), idempotency_key.body.to_vec());
        let bytes = i64::try_from(answer.len()).unwrap_or(i64::MAX);
        let answer = (answer.len() <= MAX_STORED_RESPONSE_BYTES).then(|| answer.to_owned());
        let keep = self.database.transaction(move |transaction, _| {
            let (scope, body, answer) = (scope.clone(), body.clone(), answer.clone());
            Box::pin(async move {
                let is_kept = answer.is_some();
                let stored = request::Entity::update_many()
                    .col_expr(request::Column::Answer, Expr::value(answer))
                    .col_expr(request::Column::AnswerBytes, Expr::value(bytes))
                    .filter(request::Column::Scope.eq(scope.clone()))
                    // Only the first response is stored.
                    .filter(request::Column::Body.eq(body))
                    .filter(request::Column::AnswerBytes.is_null())
                    .exec(transaction)
                    .await?;
                // Afterwards, because all changes of the organization wait for this row until the commit.
                if is_kept && stored.rows_affected > 0 && !take_room(transaction, &scope, bytes).await? {
                    request::Entity::update_many()
                        .col_expr(request::Column::Answer, Expr::value(Option::<String>::None))
                        .filter(request::Column::Scope.eq(scope))
                        .exec(transaction)
                        .await?;
                }
                Ok(())
            })
        });
        Ok(keep.await?)
    }
}

/// The stored response of a record that has not expired.
fn known(row: request::Model, idempotency_key: &IdempotencyKey) -> Result<Option<String>, Error> {
    if row.body != idempotency_key.body {
        return Err(Error::IdempotencyKeyReused);
    }
    match row {
        request::Model { answer: Some(answer), .. } => Ok(Some(answer)),
        request::Model { answer_bytes: Some(_), .. } => Err(Error::IdempotentResponseNotStored),
        _ => Err(Error::IdempotentRequestInProgress),
    }
}

/// Counts the bytes of a response towards the organization's limit in this hour. `false`: it would exceed the limit.
async fn take_room<C: ConnectionTrait>(db: &C, scope: &[u8], bytes: i64) -> Result<bool, DbFailure> {
    let organization = Query::select()
        .column(request::Column::OrganizationId)
        .from(request::Entity)
        .and_where(request::Column::Scope.eq(scope.to_vec()))
        .to_owned();
    let kept = Expr::col(audit_chain::Column::AnswerBytes).add(bytes);
    let taken = audit_chain::Entity::update_many()
        .col_expr(audit_chain::Column::AnswerBytes, kept.clone())
        .filter(audit_chain::Column::OrganizationId.in_subquery(organization))
        .filter(kept.lte(convert::number(MAX_STORED_RESPONSE_BYTES_PER_HOUR)))
        .exec(db)
        .await?;
    Ok(taken.rows_affected > 0)
}

impl IdempotencyStore {
    pub(crate) fn new(database: Arc<Database>) -> Self {
        Self { database, max_per_hour: AtomicU64::new(MAX_IDEMPOTENCY_KEYS_PER_HOUR) }
    }

    /// Removes expired records, in batches. Returns how many.
    pub(crate) async fn remove_expired(&self, now: Timestamp) -> Result<u64, DbFailure> {
        let expired = request::Column::DoneAt.lte(now.plus_millis(-IDEMPOTENCY_RECORDS_MS).millis());
        let remove = async |size| {
            // Still filtered by age: one may have been removed and stored again meanwhile.
            let remove = request::Entity::delete_many().filter(expired.clone());
            let remove = remove.filter(request::Column::Scope.in_subquery(oldest(expired.clone(), size)));
            Ok(remove.exec(&self.database.pools.write).await?.rows_affected)
        };
        self.database.in_batches(remove).await
    }

    /// Removes stored responses beyond the newest, in batches, and sets how many idempotency keys an organization may use in an hour.
    /// While all organizations together use very many, the limit of each is reduced, so that a few large ones do not exhaust the
    /// capacity of all. With twice as many no new ones are accepted.
    pub(crate) async fn enforce_bounds(&self) -> Result<(), DbFailure> {
        let newest_surplus = self.nth_newest_request(self.database.bounds.stored_responses).await?;
        if let Some(done_at) = newest_surplus {
            let old = request::Column::DoneAt.lte(done_at).and(request::Column::Answer.is_not_null());
            let drop_answers = async |size| {
                let drop_answers = request::Entity::update_many()
                    .col_expr(request::Column::Answer, Expr::value(Option::<String>::None))
                    .filter(request::Column::Scope.in_subquery(oldest(old.clone(), size)));
                Ok(drop_answers.exec(&self.database.pools.write).await?.rows_affected)
            };
            self.database.in_batches(drop_answers).await?;
        }
        let has =
            async |count: u64| Ok::<_, DbFailure>(self.nth_newest_request(count.saturating_sub(1)).await?.is_some());
        let max_keys = self.database.bounds.idempotency_keys;
        let max_per_hour = if newest_surplus.is_none() || !has(max_keys).await? {
            MAX_IDEMPOTENCY_KEYS_PER_HOUR
        } else if !has(max_keys.saturating_mul(2)).await? {
            self.database.bounds.idempotency_keys_when_crowded
        } else {
            0
        };
        let before = self.max_per_hour.swap(max_per_hour, Ordering::Relaxed);
        if max_per_hour < before {
            tracing::warn!(target: "claviger", max_per_hour, "very many idempotency keys are in use: the limit of each organization is reduced");
        }
        Ok(())
    }

    /// When the record was stored that has `n` newer ones, in milliseconds since the Unix epoch. `None`: there are fewer records.
    async fn nth_newest_request(&self, n: u64) -> Result<Option<i64>, DbFailure> {
        let found = request::Entity::find()
            .select_only()
            .column(request::Column::DoneAt)
            .order_by_desc(request::Column::DoneAt)
            .offset(n)
            .limit(1)
            .into_tuple()
            .one(&self.database.pools.read);
        Ok(found.await?)
    }
}

/// The ids of the oldest records with `which`, at most `size`.
fn oldest(which: SimpleExpr, size: u64) -> SelectStatement {
    first_ids(request::Column::Scope, which, request::Column::DoneAt, size)
}
