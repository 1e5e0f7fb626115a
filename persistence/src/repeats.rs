//! Requests that are done once: noted in the transaction that does them, answered the same when they come again.

use async_trait::async_trait;
use domain::{Error, Outage, act::Once, clock::Timestamp, ports::Repeats};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait, QueryFilter,
    sea_query::{Expr, OnConflict},
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
        request::Entity::update_many()
            .col_expr(request::Column::Answer, Expr::value(answer))
            .filter(request::Column::Scope.eq(once.scope.to_vec()))
            .exec(&self.pools.write)
            .await
            .map_err(Failure::from)?;
        Ok(())
    }
}

/// What is known of a request that is not over.
fn known(row: request::Model, once: &Once) -> Result<Option<String>, Error> {
    if row.body != once.body {
        return Err(Error::OtherBody);
    }
    row.answer.map(Some).ok_or(Error::InFlight)
}

impl Store {
    /// Forgets requests that are long over. Answers how many those were.
    pub(crate) async fn forget_requests(&self, now: Timestamp) -> Result<u64, Failure> {
        let over = request::Column::DoneAt.lte(now.plus_millis(-KNOWN_FOR).millis());
        Ok(request::Entity::delete_many().filter(over).exec(&self.pools.write).await?.rows_affected)
    }
}
