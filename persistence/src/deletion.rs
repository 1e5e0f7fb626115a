//! The end of keys: deleted ones are unknown at once, kept for a while, and then gone.

use std::time::Duration;

use domain::{Outage, act::Act, api_key::ApiKey, clock::Timestamp, id::KeyId, reach::Reach};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect,
    QueryTrait,
    prelude::Uuid,
    sea_query::{Expr, LockBehavior, LockType, SimpleExpr},
};
use tokio::time::Instant;

use crate::{
    Store,
    api_keys::{ROWS, find, held_by, require_room, secrets},
    audit, convert, deleted,
    entity::{api_key, session},
    imports, organizations,
    outage::Failure,
    pieces::Pieces,
    reach::{deleted_in_reach, in_reach},
};

impl Store {
    /// Ends the keys that `which` names, in one transaction: for a bounded number. Answers which those were.
    pub(crate) async fn delete_all(&self, which: Condition, act: &Act) -> Result<Vec<Uuid>, Failure> {
        Ok(self.delete_timed(which, act).await?.0)
    }

    /// The same; answers also how long the statements took.
    async fn delete_timed(&self, which: Condition, act: &Act) -> Result<(Vec<Uuid>, Duration), Failure> {
        let (act, are_kept, caps) = (act.clone(), !self.retention.deleted_keys.is_zero(), self.caps);
        // Its retention period goes by the same clock.
        let deleted_at = self.clocks.database_time_or(act.at);
        let delete = self.transaction(move |transaction, changed| {
            let (which, act, deleted_at) = (which.clone(), act.clone(), deleted_at.clone());
            Box::pin(async move {
                let begun = Instant::now();
                // Locked in the order of their ids, as the workers lock.
                let keys: Vec<Uuid> = api_key::Entity::find()
                    .select_only()
                    .column(api_key::Column::Id)
                    .filter(which)
                    .order_by_asc(api_key::Column::Id)
                    .lock_exclusive()
                    .into_tuple()
                    .all(transaction)
                    .await?;
                if keys.is_empty() {
                    return Ok((keys, begun.elapsed()));
                }
                let secrets = secrets(transaction, keys.clone()).await?;
                if are_kept {
                    let hashes: Vec<Vec<u8>> = secrets.iter().map(|hash| hash.bytes().to_vec()).collect();
                    bury(transaction, &keys, hashes, &deleted_at, act.at).await?;
                } else {
                    remove(transaction, &keys).await?;
                }
                changed.keys.extend(secrets);
                let gone = i64::try_from(keys.len()).expect("as many as there are");
                organizations::count_keys(transaction, act.organization, -gone).await?;
                if are_kept {
                    deleted::count(transaction, act.organization, keys.len(), caps).await?;
                }
                audit::note(transaction, &act, &keys).await?;
                Ok((keys, begun.elapsed()))
            })
        });
        delete.await
    }

    /// Ends the keys in reach that are expired, in pieces, each with its part of the log. Where the time is nearly up, or the
    /// database fails after the first piece, it ends early: what was deleted stays deleted, and a later call goes on. Answers
    /// how many were deleted.
    pub(crate) async fn delete_expired_keys(&self, reach: Reach, act: &Act) -> Result<u64, Failure> {
        let end = Instant::now() + self.pools.change_timeout / 2;
        let (mut pieces, mut after, mut deleted) = (Pieces::new(), None, 0);
        loop {
            let piece = self.delete_some_expired(reach, act, after, pieces.size()).await;
            let (count, next, took) = match piece {
                Ok(piece) => piece,
                Err(failure) if deleted == 0 => return Err(failure),
                Err(failure) => {
                    let error = Outage::from(failure);
                    tracing::warn!(target: "claviger", %error, deleted, "not all expired keys could be deleted");
                    return Ok(deleted);
                }
            };
            deleted += count;
            if next.is_none() || Instant::now() >= end || self.stop.is_cancelled() {
                return Ok(deleted);
            }
            after = next;
            pieces.give_way(took, &self.stop).await;
        }
    }

    /// Ends at most `size` expired keys that come after a place in the order of their expiry. Answers how many, the place of the
    /// last one if there may be more, and how long the statements took.
    async fn delete_some_expired(
        &self,
        reach: Reach,
        act: &Act,
        after: Option<Place>,
        size: u64,
    ) -> Result<(u64, Option<Place>, Duration), Failure> {
        let now = self.clocks.no_later_than_database(act.at, 0);
        let expired = Condition::all().add(in_reach(reach)).add(api_key::Column::ExpiresAt.into_expr().lte(now));
        let place = || Expr::tuple([Expr::col(api_key::Column::ExpiresAt), Expr::col(api_key::Column::Id)]);
        // Looked for without the writer: those of one user among the keys of a large organization may be far apart.
        let found: Vec<(Uuid, i64)> = api_key::Entity::find()
            .select_only()
            .columns([api_key::Column::Id, api_key::Column::ExpiresAt])
            .filter(expired.clone())
            .apply_if(after, |find, (expires_at, id)| {
                find.filter(place().gt(Expr::tuple([Expr::value(expires_at), id.into()])))
            })
            .order_by_asc(api_key::Column::ExpiresAt)
            .order_by_asc(api_key::Column::Id)
            .limit(size)
            .into_tuple()
            .all(&self.pools.read)
            .await?;
        let next = found.last().filter(|_| found.len() as u64 == size).map(|(id, expires_at)| (*expires_at, *id));
        if found.is_empty() {
            return Ok((0, None, Duration::ZERO));
        }
        // One that was given a later expiry meanwhile stays.
        let these = api_key::Column::Id.is_in(found.into_iter().map(|(id, _)| id));
        let (keys, took) = self.delete_timed(expired.add(these), act).await?;
        Ok((keys.len() as u64, next, took))
    }

    /// Brings back a deleted key that still has this version.
    pub(crate) async fn bring_back(
        &self,
        reach: Reach,
        key: KeyId,
        version: u64,
        act: Act,
    ) -> Result<Option<ApiKey>, Failure> {
        let caps = self.caps;
        let restore = self.transaction(move |transaction, changed| {
            let act = act.clone();
            Box::pin(async move {
                let row = api_key::ActiveModel {
                    deleted_at: Set(None),
                    version: Set(convert::number(version.saturating_add(1))),
                    updated_at: Set(act.at.millis()),
                    ..api_key::ActiveModel::default()
                };
                let update = api_key::Entity::update_many()
                    .set(row)
                    .filter(deleted_in_reach(reach))
                    .filter(api_key::Column::Id.eq(key.uuid()))
                    .filter(api_key::Column::Version.eq(convert::number(version)));
                if update.exec(transaction).await?.rows_affected == 0 {
                    return Ok(None);
                }
                // Its sets may have been widened while it was deleted.
                let held = held_by(transaction, key).await?;
                require_room(transaction, reach.organization, None, &held).await?;
                changed.keys.extend(secrets(transaction, vec![key.uuid()]).await?);
                changed.keys.extend(imports::names_of(transaction, key).await?);
                organizations::add_keys(transaction, act.organization, 1, caps).await?;
                audit::note_within(transaction, &act, &[key.uuid()], caps.changes).await?;
                find(transaction, reach, key).await
            })
        });
        restore.await
    }

    /// Removes for good what was deleted until `before`, in pieces. Answers how many keys that were.
    pub(crate) async fn remove_deleted(&self, before: i64) -> Result<u64, Failure> {
        let piece = |size| {
            self.transaction(move |transaction, _| {
                Box::pin(async move {
                    // Those that another node is removing are left to it, so none is waited for.
                    let keys: Vec<Uuid> = api_key::Entity::find()
                        .select_only()
                        .column(api_key::Column::Id)
                        .filter(api_key::Column::DeletedAt.lte(before))
                        .order_by_asc(api_key::Column::DeletedAt)
                        .limit(size)
                        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
                        .into_tuple()
                        .all(transaction)
                        .await?;
                    remove(transaction, &keys).await?;
                    Ok(keys.len() as u64)
                })
            })
        };
        self.in_pieces(piece).await
    }
}

/// A place in the order of expiry: when a key expires, and its id.
type Place = (i64, Uuid);

/// Marks keys as deleted, and ends the sessions that were opened with them: they do not come back with the key.
async fn bury<C: ConnectionTrait>(
    db: &C,
    keys: &[Uuid],
    secrets: Vec<Vec<u8>>,
    deleted_at: &SimpleExpr,
    now: Timestamp,
) -> Result<(), DbErr> {
    for keys in keys.chunks(ROWS) {
        api_key::Entity::update_many()
            .col_expr(api_key::Column::DeletedAt, deleted_at.clone())
            .col_expr(api_key::Column::UpdatedAt, Expr::value(now.millis()))
            .col_expr(api_key::Column::Enabled, Expr::value(false))
            .col_expr(api_key::Column::Version, Expr::col(api_key::Column::Version).add(1))
            .filter(api_key::Column::Id.is_in(keys.iter().copied()))
            .exec(db)
            .await?;
    }
    for secrets in secrets.chunks(ROWS) {
        let opened = session::Column::SecretHash.is_in(secrets.iter().cloned());
        session::Entity::delete_many().filter(opened).exec(db).await?;
    }
    Ok(())
}

/// Removes keys for good.
pub(crate) async fn remove<C: ConnectionTrait>(db: &C, keys: &[Uuid]) -> Result<(), DbErr> {
    for keys in keys.chunks(ROWS) {
        api_key::Entity::delete_many().filter(api_key::Column::Id.is_in(keys.iter().copied())).exec(db).await?;
    }
    Ok(())
}
