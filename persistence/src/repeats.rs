//! Requests that are done once: noted in the transaction that does them, answered the same when they come again.

use std::sync::atomic::Ordering;

use async_trait::async_trait;
use domain::{
    Error, Outage,
    act::Once,
    bounds::{MAX_KEPT_ANSWER, MAX_KEPT_ANSWERS_PER_HOUR},
    clock::Timestamp,
    error::Limited,
    id::OrganizationId,
    ports::Repeats,
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait, LockBehavior, LockType, OnConflict, Order, Query, SelectStatement, SimpleExpr},
};

use crate::{
    Store, convert,
    entity::{audit_chain, request},
    outage::Failure,
    retention,
};

/// How long a request is known, in milliseconds: 12 hours.
const KNOWN_FOR: i64 = 12 * 60 * 60 * 1_000;

/// Notes that a request is done; part of its transaction. Of two at the same moment one waits for the other, and is refused.
pub(crate) async fn note<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    once: &Once,
    now: Timestamp,
) -> Result<(), Failure> {
    let row = request::ActiveModel {
        scope: Set(once.scope.to_vec()),
        body: Set(once.body.to_vec()),
        done_at: Set(now.millis()),
        answer: Set(None),
        answer_bytes: Set(None),
        organization_id: Set(Some(organization.uuid())),
    };
    // One that is over was removed when it was looked for.
    let unless_known = OnConflict::column(request::Column::Scope).do_nothing().to_owned();
    let noted = request::Entity::insert(row).on_conflict(unless_known).exec_without_returning(db).await?;
    if noted == 0 { Err(Failure::Refused(Error::InFlight)) } else { Ok(()) }
}

#[async_trait]
impl Repeats for Store {
    async fn find(&self, once: &Once, now: Timestamp) -> Result<Option<String>, Error> {
        let this = request::Entity::find_by_id(once.scope.to_vec());
        let found = this.clone().one(&self.pools.read).await.map_err(Failure::from)?;
        match found {
            None if self.has_all_requests.load(Ordering::Relaxed) => {
                Err(Error::TooMany { what: Limited::IdempotencyKeys, retry_after: retention::RUN_EVERY.as_secs() })
            }
            None => Ok(None),
            // By the node's clock it may be over. It makes way if it is over by the database's, too.
            Some(row) if row.done_at <= now.plus_millis(-KNOWN_FOR).millis() => {
                let over = self.clocks.no_later_than_database(now, KNOWN_FOR);
                let remove = request::Entity::delete_many()
                    .filter(request::Column::Scope.eq(once.scope.to_vec()))
                    .filter(request::Column::DoneAt.into_expr().lte(over))
                    .exec(&self.pools.write);
                remove.await.map_err(Failure::from)?;
                self.pools.confirm_commit().map_err(Outage::from)?;
                let left = this.one(&self.pools.read).await.map_err(Failure::from)?;
                left.map_or(Ok(None), |row| known(row, once))
            }
            Some(row) => known(row, once),
        }
    }

    async fn keep(&self, once: &Once, answer: &str) -> Result<(), Outage> {
        let (scope, body) = (once.scope.to_vec(), once.body.to_vec());
        let bytes = i64::try_from(answer.len()).unwrap_or(i64::MAX);
        let answer = (answer.len() <= MAX_KEPT_ANSWER).then(|| answer.to_owned());
        let keep = self.transaction(move |transaction, _| {
            let (scope, body, answer) = (scope.clone(), body.clone(), answer.clone());
            Box::pin(async move {
                let has_room = answer.is_some() && take_room(transaction, &scope, bytes).await?;
                request::Entity::update_many()
                    .col_expr(request::Column::Answer, Expr::value(answer.filter(|_| has_room)))
                    .col_expr(request::Column::AnswerBytes, Expr::value(bytes))
                    .filter(request::Column::Scope.eq(scope))
                    // Only the first answer to this request is kept.
                    .filter(request::Column::Body.eq(body))
                    .filter(request::Column::AnswerBytes.is_null())
                    .exec(transaction)
                    .await?;
                Ok(())
            })
        });
        Ok(keep.await?)
    }
}

/// What is known of a request that is not over.
fn known(row: request::Model, once: &Once) -> Result<Option<String>, Error> {
    if row.body != once.body {
        return Err(Error::OtherBody);
    }
    match row {
        request::Model { answer: Some(answer), .. } => Ok(Some(answer)),
        request::Model { answer_bytes: Some(_), .. } => Err(Error::AnswerNotKept),
        _ => Err(Error::InFlight),
    }
}

/// Counts an answer among those that are kept for the organization in this hour. `false`: they have no room for it.
async fn take_room<C: ConnectionTrait>(db: &C, scope: &[u8], bytes: i64) -> Result<bool, Failure> {
    let organization = Query::select()
        .column(request::Column::OrganizationId)
        .from(request::Entity)
        .and_where(request::Column::Scope.eq(scope.to_vec()))
        .to_owned();
    let kept = Expr::col(audit_chain::Column::AnswerBytes).add(bytes);
    let taken = audit_chain::Entity::update_many()
        .col_expr(audit_chain::Column::AnswerBytes, kept.clone())
        .filter(audit_chain::Column::OrganizationId.in_subquery(organization))
        .filter(kept.lte(convert::number(MAX_KEPT_ANSWERS_PER_HOUR)))
        .exec(db)
        .await?;
    Ok(taken.rows_affected > 0)
}

impl Store {
    /// Forgets requests that are long over, in pieces. Answers how many those were.
    pub(crate) async fn forget_requests(&self, now: Timestamp) -> Result<u64, Failure> {
        let over = request::Column::DoneAt.lte(now.plus_millis(-KNOWN_FOR).millis());
        let forget = async |size| {
            // One that was noted anew meanwhile stays.
            let forget = request::Entity::delete_many().filter(over.clone());
            let forget = forget.filter(request::Column::Scope.in_subquery(some(over.clone(), size)));
            Ok(forget.exec(&self.pools.write).await?.rows_affected)
        };
        self.in_pieces(forget).await
    }

    /// Drops the answers beyond the newest, in pieces, and finds out whether further requests can be noted.
    pub(crate) async fn bound_requests(&self) -> Result<(), Failure> {
        let beyond = self.nth_newest_request(self.bounds.answers).await?;
        if let Some(done_at) = beyond {
            let old = request::Column::DoneAt.lte(done_at).and(request::Column::Answer.is_not_null());
            let drop_answers = async |size| {
                let drop_answers = request::Entity::update_many()
                    .col_expr(request::Column::Answer, Expr::value(Option::<String>::None))
                    .filter(request::Column::Scope.in_subquery(some(old.clone(), size)));
                Ok(drop_answers.exec(&self.pools.write).await?.rows_affected)
            };
            self.in_pieces(drop_answers).await?;
        }
        let has_all = beyond.is_some() && self.nth_newest_request(self.bounds.idempotency_keys - 1).await?.is_some();
        self.has_all_requests.store(has_all, Ordering::Relaxed);
        Ok(())
    }

    /// When the request was done that so many came after. `None`: there are not so many.
    async fn nth_newest_request(&self, n: u64) -> Result<Option<i64>, Failure> {
        let found = request::Entity::find()
            .select_only()
            .column(request::Column::DoneAt)
            .order_by_desc(request::Column::DoneAt)
            .offset(n)
            .limit(1)
            .into_tuple()
            .one(&self.pools.read);
        Ok(found.await?)
    }
}

/// The oldest of these requests, at most so many. Those that another node has locked are left to it.
fn some(which: SimpleExpr, size: u64) -> SelectStatement {
    Query::select()
        .column(request::Column::Scope)
        .from(request::Entity)
        .and_where(which)
        .order_by(request::Column::DoneAt, Order::Asc)
        .limit(size)
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .to_owned()
}
