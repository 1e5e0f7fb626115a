//! Deletes keys (soft delete), restores and purges them. A deleted key is unknown to verification at once, and can be restored until
//! its retention period has passed.

use std::time::Duration;

use domain::{
    Outage,
    audit::context::AuditContext,
    clock::Timestamp,
    id::KeyId,
    keys::{api_key::ApiKey, key_scope::KeyScope, policy::CheckedPolicies, secret::SecretHash},
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect,
    QueryTrait,
    prelude::Uuid,
    sea_query::{Expr, LockBehavior, LockType, SimpleExpr},
};
use tokio::time::Instant;

use crate::{
    api_keys::{deleted, find, has_version, import, require_room, secrets, stored_permissions_of},
    database::{Database, batches::Batches},
    db::{MAX_ROWS_PER_STATEMENT, error::DbFailure},
    identity::sessions,
    organizations::{self, key_policies, user_removal},
    rows::{
        convert,
        entity::api_key,
        scope::{deleted_in_scope, in_scope},
    },
};

impl Database {
    /// Deletes those of these keys with `which` in one transaction. Returns their ids.
    pub(crate) async fn delete_all(
        &self,
        which: Condition,
        keys: Vec<Uuid>,
        context: &AuditContext,
    ) -> Result<Vec<Uuid>, DbFailure> {
        Ok(self.delete_timed(which, keys, context).await?.0)
    }

    /// As [`Database::delete_all`]. Returns also how long the statements took.
    async fn delete_timed(
        &self,
        which: Condition,
        mut these: Vec<Uuid>,
        context: &AuditContext,
    ) -> Result<(Vec<Uuid>, Duration), DbFailure> {
        // Locked in the order of their ids, as by the workers.
        these.sort_unstable();
        let (context, are_kept, caps) = (context.clone(), !self.retention.deleted_keys.is_zero(), self.caps);
        // The clock by which the retention period is computed.
        let deleted_at = self.clocks.database_time_or(context.at);
        let delete = self.transaction(move |transaction, changed| {
            let (which, these, context, deleted_at) =
                (which.clone(), these.clone(), context.clone(), deleted_at.clone());
            Box::pin(async move {
                let begun = Instant::now();
                let mut keys: Vec<Uuid> = Vec::new();
                for these in these.chunks(MAX_ROWS_PER_STATEMENT) {
                    let locked = api_key::Entity::find()
                        .select_only()
                        .column(api_key::Column::Id)
                        .filter(which.clone())
                        .filter(api_key::Column::Id.is_in(these.iter().copied()))
                        .order_by_asc(api_key::Column::Id)
                        .lock_exclusive();
                    keys.extend(locked.into_tuple::<Uuid>().all(transaction).await?);
                }
                if keys.is_empty() {
                    changed.log.record_idempotency_key_if_room(&context);
                    return Ok((keys, begun.elapsed()));
                }
                let secrets = secrets(transaction, keys.clone()).await?;
                if are_kept {
                    soft_delete(transaction, &keys, &secrets, &deleted_at, context.at).await?;
                } else {
                    remove(transaction, &keys).await?;
                }
                changed.cached.keys.extend(secrets);
                let gone = i64::try_from(keys.len()).expect("as many as there are");
                organizations::count_keys(transaction, context.organization, -gone).await?;
                if are_kept {
                    deleted::count(transaction, context.organization, keys.len(), caps).await?;
                }
                changed.log.record(&context, &keys);
                changed.log.record_idempotency_key_if_room(&context);
                Ok((keys, begun.elapsed()))
            })
        });
        delete.await
    }

    /// Deletes the expired keys in scope, in batches, each with its audit events. Ends early after half of the time that a change may
    /// take, or if the database fails after the first batch: what was deleted stays deleted, and a later call continues. Returns
    /// the number of deleted keys.
    pub(crate) async fn delete_expired_keys(&self, scope: KeyScope, context: &AuditContext) -> Result<u64, DbFailure> {
        let end = Instant::now() + self.pools.change_timeout / 2;
        let (mut batches, mut after, mut deleted) = (Batches::new(), None, 0);
        loop {
            let batch = self.delete_some_expired(scope, context, after, batches.size()).await;
            let (count, next, took) = match batch {
                Ok(batch) => batch,
                Err(failure) if deleted == 0 => return Err(failure),
                Err(failure) => {
                    let error = Outage::from(failure);
                    tracing::warn!(target: "claviger", %error, deleted, "deleting expired keys failed");
                    return Ok(deleted);
                }
            };
            deleted += count;
            if next.is_none() || Instant::now() >= end || self.workers.stop.is_cancelled() {
                return Ok(deleted);
            }
            after = next;
            batches.give_way(took, &self.workers.stop).await;
        }
    }

    /// Deletes at most `size` expired keys after a place in the order of expiry. Returns how many, the place of the last one if there
    /// may be more, and how long the statements took.
    async fn delete_some_expired(
        &self,
        scope: KeyScope,
        context: &AuditContext,
        after: Option<ExpiryPosition>,
        size: u64,
    ) -> Result<(u64, Option<ExpiryPosition>, Duration), DbFailure> {
        let now = self.clocks.no_later_than_database(context.at, 0);
        let expired = Condition::all().add(in_scope(scope)).add(api_key::Column::ExpiresAt.into_expr().lte(now));
        let position = || Expr::tuple([Expr::col(api_key::Column::ExpiresAt), Expr::col(api_key::Column::Id)]);
        // Found on a reader: the keys of one user may be far apart among those of a large organization.
        let found: Vec<(Uuid, i64)> = api_key::Entity::find()
            .select_only()
            .columns([api_key::Column::Id, api_key::Column::ExpiresAt])
            .filter(expired.clone())
            .apply_if(after, |find, (expires_at, id)| {
                find.filter(position().gt(Expr::tuple([Expr::value(expires_at), id.into()])))
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
        // Still filtered by expiry: one may have been given a later expiry meanwhile.
        let these = found.into_iter().map(|(id, _)| id).collect();
        let (keys, took) = self.delete_timed(expired, these, context).await?;
        Ok((keys.len() as u64, next, took))
    }

    /// Restores a deleted key, if it still has this version. It stays disabled.
    pub(crate) async fn restore_key(
        &self,
        scope: KeyScope,
        key: KeyId,
        version: u64,
        checked: Option<CheckedPolicies>,
        context: AuditContext,
    ) -> Result<Option<ApiKey>, DbFailure> {
        let caps = self.caps;
        let restore = self.transaction(move |transaction, changed| {
            let (checked, context) = (checked.clone(), context.clone());
            Box::pin(async move {
                let row = api_key::ActiveModel {
                    deleted_at: Set(None),
                    version: Set(convert::number(version.saturating_add(1))),
                    updated_at: Set(context.at.millis()),
                    ..api_key::ActiveModel::default()
                };
                let update = api_key::Entity::update_many()
                    .set(row)
                    .filter(deleted_in_scope(scope))
                    .filter(api_key::Column::Id.eq(key.uuid()))
                    .filter(has_version(version));
                if update.exec(transaction).await?.rows_affected == 0 {
                    return Ok(None);
                }
                if let Some(checked) = &checked {
                    key_policies::require_unchanged(transaction, scope.organization, checked).await?;
                }
                // Its permission sets may have been given more permissions while it was deleted.
                let stored = stored_permissions_of(transaction, key).await?;
                require_room(transaction, scope.organization, None, &stored).await?;
                changed.cached.keys.extend(secrets(transaction, vec![key.uuid()]).await?);
                changed.cached.keys.extend(import::names_of(transaction, key).await?);
                organizations::add_keys(transaction, context.organization, 1, None, caps).await?;
                changed.log.record_within(&context, &[key.uuid()], caps.changes);
                changed.log.record_idempotency_key(&context);
                find(transaction, scope, key).await
            })
        });
        Ok(key_policies::unless_changed(restore.await)?.flatten())
    }

    /// Purges keys that were deleted until `before` (milliseconds since the Unix epoch), in batches. Returns how many.
    pub(crate) async fn purge_deleted_keys(&self, before: i64) -> Result<u64, DbFailure> {
        let batch = |size| {
            self.transaction(move |transaction, _| {
                Box::pin(async move {
                    // Skips keys that another node is purging.
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
        self.in_batches(batch).await
    }
}

/// A place in the order of expiry: `expires_at` and id of a key.
type ExpiryPosition = (i64, Uuid);

/// Marks keys as deleted, and deletes the sessions that were opened with them: restoring a key does not restore them.
async fn soft_delete<C: ConnectionTrait>(
    db: &C,
    keys: &[Uuid],
    secrets: &[SecretHash],
    deleted_at: &SimpleExpr,
    now: Timestamp,
) -> Result<(), DbErr> {
    for keys in keys.chunks(MAX_ROWS_PER_STATEMENT) {
        api_key::Entity::update_many()
            .col_expr(api_key::Column::DeletedAt, deleted_at.clone())
            .col_expr(api_key::Column::UpdatedAt, Expr::value(now.millis()))
            .col_expr(api_key::Column::Enabled, Expr::value(false))
            .col_expr(api_key::Column::Version, Expr::col(api_key::Column::Version).add(1))
            .filter(api_key::Column::Id.is_in(keys.iter().copied()))
            .exec(db)
            .await?;
    }
    sessions::remove_opened_with(db, secrets).await
}

/// Purges keys, and the rows of removed users that have no keys left.
pub(crate) async fn remove<C: ConnectionTrait>(db: &C, keys: &[Uuid]) -> Result<(), DbErr> {
    for keys in keys.chunks(MAX_ROWS_PER_STATEMENT) {
        let users = user_removal::removed_users_of(db, keys.iter().copied()).await?;
        api_key::Entity::delete_many().filter(api_key::Column::Id.is_in(keys.iter().copied())).exec(db).await?;
        user_removal::remove_unused(db, users).await?;
    }
    Ok(())
}
