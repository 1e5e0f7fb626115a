//! Sessions of browsers.

use async_trait::async_trait;
use domain::{
    Error, Outage,
    clock::Timestamp,
    id::SessionId,
    ports::Sessions,
    session::{Bearer, Session},
};
use sea_orm::{
    ColumnTrait, DatabaseTransaction, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect,
    prelude::Uuid,
    sea_query::{LockBehavior, LockType, Order, Query},
};

use crate::{Store, convert, entity::session, outage::Failure};

/// Sessions that one secret or user may have; the oldest makes room for a new one.
const MOST: u64 = 100;

/// Ended sessions that go with the opening of a new one.
const SWEPT: u64 = 100;

#[async_trait]
impl Sessions for Store {
    async fn create(&self, session: &Session) -> Result<(), Error> {
        let (session, most) = (session.clone(), self.bounds.sessions);
        let ended = self.clocks.no_later_than_database(session.created_at, 0);
        let create = self.transaction(move |transaction, _| {
            let (session, ended) = (session.clone(), ended.clone());
            Box::pin(async move {
                let over = session::Column::ExpiresAt.into_expr().lte(ended);
                remove(transaction, session::Entity::find().filter(over).limit(SWEPT)).await?;
                let own = match &session.bearer {
                    Bearer::Key(hash) => session::Column::SecretHash.eq(hash.bytes().to_vec()),
                    Bearer::Person(user, _) => session::Column::UserId.eq(user.uuid()),
                };
                let surplus = |own, most: u64| {
                    let others = session::Entity::find().filter(own);
                    others.order_by_desc(session::Column::CreatedAt).offset(most.saturating_sub(1)).limit(SWEPT)
                };
                remove(transaction, surplus(own, MOST)).await?;
                if let Some(home) = session.organization {
                    remove(transaction, surplus(session::Column::HomeId.eq(home.uuid()), most)).await?;
                }
                session::Entity::insert(convert::session_row(&session)).exec_without_returning(transaction).await?;
                Ok(())
            })
        });
        Ok(create.await?)
    }

    async fn find(&self, session: SessionId) -> Result<Option<Session>, Outage> {
        let row =
            session::Entity::find_by_id(session.uuid()).one(&self.pools.verification).await.map_err(Failure::from)?;
        Ok(row.map(convert::session).transpose().map_err(Failure::from)?)
    }

    async fn delete(&self, session: SessionId) -> Result<(), Outage> {
        let delete = self.transaction(move |transaction, _| {
            Box::pin(async move {
                session::Entity::delete_by_id(session.uuid()).exec(transaction).await?;
                Ok(())
            })
        });
        Ok(delete.await?)
    }
}

impl Store {
    /// Removes sessions that are over, in pieces. Answers how many those were.
    pub(crate) async fn remove_ended_sessions(&self, now: Timestamp) -> Result<u64, Failure> {
        let over = session::Column::ExpiresAt.lte(now.millis());
        let piece = async |size| {
            let some = Query::select()
                .column(session::Column::Id)
                .from(session::Entity)
                .and_where(over.clone())
                .order_by(session::Column::ExpiresAt, Order::Asc)
                .limit(size)
                .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
                .to_owned();
            let remove = session::Entity::delete_many().filter(session::Column::Id.in_subquery(some));
            Ok(remove.exec(&self.pools.write).await?.rows_affected)
        };
        self.in_pieces(piece).await
    }
}

async fn remove(db: &DatabaseTransaction, which: sea_orm::Select<session::Entity>) -> Result<(), Failure> {
    let ids: Vec<Uuid> = which.select_only().column(session::Column::Id).into_tuple().all(db).await?;
    if !ids.is_empty() {
        session::Entity::delete_many().filter(session::Column::Id.is_in(ids)).exec(db).await?;
    }
    Ok(())
}
