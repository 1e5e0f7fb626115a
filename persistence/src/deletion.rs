//! The end of keys: deleted ones are unknown at once, kept for a while, and then gone.

use domain::{Outage, act::Act, api_key::ApiKey, clock::Timestamp, id::KeyId, reach::Reach};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect,
    prelude::Uuid,
    sea_query::{Expr, SimpleExpr},
};

use crate::{
    Store,
    api_keys::{ROWS, find, held_by, require_room, secrets},
    audit, convert, deleted,
    entity::{api_key, session},
    imports, organizations,
    outage::Failure,
    reach::deleted_in_reach,
};

impl Store {
    /// Ends the keys that `which` names. Answers which those were.
    pub(crate) async fn delete_all(&self, which: Condition, act: &Act) -> Result<Vec<Uuid>, Outage> {
        let (act, are_kept, caps) = (act.clone(), !self.retention.deleted_keys.is_zero(), self.caps);
        // Its retention period goes by the same clock.
        let deleted_at = self.clocks.database_time_or(act.at);
        let delete = self.transaction(move |transaction, changed| {
            let (which, act, deleted_at) = (which.clone(), act.clone(), deleted_at.clone());
            Box::pin(async move {
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
                    return Ok(keys);
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
                Ok(keys)
            })
        });
        Ok(delete.await?)
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

    /// Removes for good what was deleted until `before`. Answers how many keys that were.
    pub(crate) async fn remove_deleted(&self, before: i64) -> Result<u64, Failure> {
        let mut count = 0;
        loop {
            let removed = self.transaction(move |transaction, _| {
                Box::pin(async move {
                    let keys: Vec<Uuid> = api_key::Entity::find()
                        .select_only()
                        .column(api_key::Column::Id)
                        .filter(api_key::Column::DeletedAt.lte(before))
                        .order_by_asc(api_key::Column::Id)
                        .limit(ROWS as u64)
                        .lock_exclusive()
                        .into_tuple()
                        .all(transaction)
                        .await?;
                    remove(transaction, &keys).await?;
                    Ok(keys.len())
                })
            });
            let removed = removed.await?;
            count += removed as u64;
            if removed < ROWS {
                return Ok(count);
            }
        }
    }
}

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
