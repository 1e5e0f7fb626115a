//! Requests that are done once: noted in the transaction that does them, answered the same when they come again.

use async_trait::async_trait;
use domain::{Error, Outage, act::Once, clock::Timestamp, ports::Repeats};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter,
    sea_query::{Expr, ExprTrait, OnConflict},
};

use crate::{Store, entity::request, outage::Failure};

/// How long a request is known, in milliseconds: 12 hours.
const KNOWN_FOR: i64 = 12 * 60 * 60 * 1_000;

/// Notes that a request is done; part of its transaction. Of two at the same moment one waits for the other, and is refused.
pub(crate) async fn note<C: ConnectionTrait>(db: &C, once: &Once, now: Timestamp) -> Result<(), Failure> {
    let row = request::ActiveModel {
        scope: Set(once.scope.to_vec()),
        body: Set(once.body.to_vec()),
        done_at: Set(now.millis()),
        answer: Set(None),
    };
    // One that is long over makes way.
    let over = Expr::col((request::Entity, request::Column::DoneAt)).lte(now.plus_millis(-KNOWN_FOR).millis());
    let unless_known = OnConflict::column(request::Column::Scope)
        .update_columns([request::Column::Body, request::Column::DoneAt, request::Column::Answer])
        .action_and_where(over)
        .to_owned();
    let noted = request::Entity::insert(row).on_conflict(unless_known).exec_without_returning(db).await?;
    if noted == 0 { Err(Failure::Refused(Error::InFlight)) } else { Ok(()) }
}

#[async_trait]
impl Repeats for Store {
    async fn find(&self, once: &Once, now: Timestamp) -> Result<Option<String>, Error> {
        let found = request::Entity::find_by_id(once.scope.to_vec())
            .filter(request::Column::DoneAt.gt(now.plus_millis(-KNOWN_FOR).millis()))
            .one(&self.pools.read)
            .await
            .map_err(Failure::from)?;
        match found {
            None => Ok(None),
            Some(row) if row.body != once.body => Err(Error::OtherBody),
            Some(row) => row.answer.map(Some).ok_or(Error::InFlight),
        }
    }

    async fn keep(&self, once: &Once, answer: &str) -> Result<(), Outage> {
        request::Entity::update_many()
            .col_expr(request::Column::Answer, Expr::value(answer))
            .filter(request::Column::Scope.eq(once.scope.to_vec()))
            .exec(&self.pools.write)
            .await
            .map_err(Failure::from)?;
        Ok(())
    }
}

impl Store {
    /// Forgets requests that are long over. Answers how many those were.
    pub(crate) async fn forget_requests(&self, now: Timestamp) -> Result<u64, Failure> {
        let over = request::Column::DoneAt.lte(now.plus_millis(-KNOWN_FOR).millis());
        Ok(request::Entity::delete_many().filter(over).exec(&self.pools.write).await?.rows_affected)
    }
}
