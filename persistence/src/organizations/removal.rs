//! Removes the rows of deleted organizations and of permission sets with many holders. One short transaction marks them as deleted:
//! from then on they are invisible. An organization can be restored for a while ([`crate::organizations::deleted`]). Later its rows,
//! and those of a set at once, are removed in batches by every node. A batch skips rows that another node has locked, so that nodes
//! neither wait for each other nor do the same work. After a crash the mark says what is left.

use std::{sync::Arc, time::Duration};

use domain::{
    Outage,
    audit::context::AuditContext,
    id::{OrganizationId, SetId},
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
    prelude::Uuid,
    sea_query::{Expr, ExprTrait, IntoTableRef, LockBehavior, LockType, Query, SelectStatement, SimpleExpr},
};
use tokio::time::Instant;

use crate::{
    database::{Database, batches::Batches},
    db::error::DbFailure,
    organizations::{self, user_removal},
    rows::entity::{
        api_key, api_key_permission_set, organization, permission_set, removed_identity, user, user_permission_set,
    },
};

/// From one search for rows that other nodes have left to the next.
const RUN_INTERVAL: Duration = Duration::from_mins(1);

/// The most batches that are removed within the request that deletes an organization. For most organizations that is everything.
pub(crate) const MAX_BATCHES_IN_REQUEST: usize = 10;

/// The most deleted organizations or sets that are read at once.
const MAX_LOOKED_UP: u64 = 100;

/// A place in the keys of an organization: `created_at` and id of the last one.
type CreationPosition = (i64, Uuid);

/// The result of one batch.
enum RemovedBatch {
    /// Rows were removed: for keys, where the next batch begins, and how long it took.
    Removed(Option<CreationPosition>, Duration),
    /// There are no more keys after the place where the batch began.
    EndOfKeys,
    /// Nothing is left.
    Done,
    /// Another node is removing what is left.
    Busy,
}

impl Database {
    /// Starts the worker that removes the rows of deleted organizations and permission sets: first those that were deleted before
    /// this process started, then its own, and each minute those that other nodes have left.
    pub(crate) fn spawn_removals(self: &Arc<Self>) {
        self.workers.spawn(self.clone().run_removals());
    }

    async fn run_removals(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(RUN_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.removals.notified() => {}
                () = self.workers.stop.cancelled() => return,
            }
            if let Err(error) = self.remove_deleted_rows().await {
                tracing::warn!(target: "claviger", %error, "removing deleted rows failed; retrying");
            }
        }
    }

    /// Removes the rows of all deleted organizations and permission sets, until none are left or other nodes remove the rest.
    pub(crate) async fn remove_deleted_rows(&self) -> Result<(), Outage> {
        // A failure of one does not stop the other.
        let organizations = self.remove_deleted_organizations().await;
        self.remove_deleted_sets().await?;
        Ok(organizations?)
    }

    async fn remove_deleted_organizations(&self) -> Result<(), DbFailure> {
        loop {
            let deleted: Vec<Uuid> = organization::Entity::find()
                .select_only()
                .column(organization::Column::Id)
                .filter(organization::Column::RemovalBeganAt.is_not_null())
                .order_by_asc(organization::Column::RemovalBeganAt)
                .limit(MAX_LOOKED_UP)
                .into_tuple()
                .all(&self.pools.read)
                .await?;
            let (mut removed, mut failed) = (0, None);
            for id in deleted {
                // A failure of one does not stop the others.
                match self.remove_organization(OrganizationId::from_uuid(id), usize::MAX).await {
                    Ok(true) => {
                        tracing::info!(target: "claviger", org_id = %id, "removed the data of a deleted organization");
                        removed += 1;
                    }
                    Ok(false) => {}
                    Err(failure) => failed = Some(failure),
                }
            }
            if let Some(failure) = failed {
                self.pools.health.observe(&failure);
                return Err(failure);
            }
            if removed == 0 || self.workers.stop.is_cancelled() {
                return Ok(());
            }
        }
    }

    /// Removes at most `max` batches of a deleted organization. Returns whether nothing is left.
    pub(crate) async fn remove_organization(
        &self,
        organization: OrganizationId,
        max: usize,
    ) -> Result<bool, DbFailure> {
        let mut batches = Batches::new();
        let mut after = None;
        // Whether the pass through the keys has removed any. Passes are repeated until one finds none.
        let mut has_removed = false;
        for _ in 0..max {
            if self.workers.stop.is_cancelled() {
                return Ok(false);
            }
            match self.remove_batch(organization, after, batches.size()).await? {
                RemovedBatch::Removed(next, took) => {
                    (after, has_removed) = (next, true);
                    batches.give_way(took, &self.workers.stop).await;
                }
                RemovedBatch::EndOfKeys if has_removed => (after, has_removed) = (None, false),
                RemovedBatch::EndOfKeys | RemovedBatch::Busy => return Ok(false),
                RemovedBatch::Done => return Ok(true),
            }
        }
        Ok(false)
    }

    async fn remove_batch(
        &self,
        organization: OrganizationId,
        after: Option<CreationPosition>,
        size: u64,
    ) -> Result<RemovedBatch, DbFailure> {
        let remove = self.transaction(move |transaction, _| {
            Box::pin(async move {
                let begun = Instant::now();
                let keys = lock_keys(transaction, organization, after, size).await?;
                if let Some((id, created_at, _)) = keys.last().copied() {
                    let ids = keys.iter().map(|(id, ..)| *id);
                    let users = user_removal::removed_users_of(transaction, ids.clone()).await?;
                    api_key::Entity::delete_many().filter(api_key::Column::Id.is_in(ids)).exec(transaction).await?;
                    user_removal::remove_unused(transaction, users).await?;
                    let counted = keys.iter().filter(|(.., deleted_at)| deleted_at.is_none()).count();
                    let counted = i64::try_from(counted).unwrap_or(0);
                    // At the end of the transaction, because nodes wait for each other's lock of this row.
                    organizations::count_keys(transaction, organization, -counted).await?;
                    return Ok(RemovedBatch::Removed(Some((created_at, id)), begun.elapsed()));
                }
                if after.is_some() {
                    return Ok(RemovedBatch::EndOfKeys);
                }
                if user_removal::remove_users_of(transaction, organization, size).await? > 0
                    || user_removal::remove_identities_of(transaction, organization, size).await? > 0
                    || remove_sets(transaction, organization, size).await? > 0
                {
                    return Ok(RemovedBatch::Removed(None, begun.elapsed()));
                }
                remove_row(transaction, organization).await
            })
        });
        remove.await
    }

    async fn remove_deleted_sets(&self) -> Result<(), DbFailure> {
        loop {
            let deleted: Vec<Uuid> = permission_set::Entity::find()
                .select_only()
                .column(permission_set::Column::Id)
                .filter(permission_set::Column::DeletedAt.is_not_null())
                .order_by_asc(permission_set::Column::DeletedAt)
                .limit(MAX_LOOKED_UP)
                .into_tuple()
                .all(&self.pools.read)
                .await?;
            let mut removed = 0;
            for id in deleted {
                removed += usize::from(self.remove_set(SetId::from_uuid(id)).await?);
            }
            if removed == 0 || self.workers.stop.is_cancelled() {
                return Ok(());
            }
        }
    }

    /// Detaches a deleted set from its keys and members, then removes it. Returns whether it is removed.
    async fn remove_set(&self, set: SetId) -> Result<bool, DbFailure> {
        let mut batches = Batches::new();
        while !self.workers.stop.is_cancelled() {
            let size = batches.size();
            let remove = self.transaction(move |transaction, _| {
                Box::pin(async move {
                    let begun = Instant::now();
                    if detach(transaction, set, size).await? > 0 {
                        return Ok(RemovedBatch::Removed(None, begun.elapsed()));
                    }
                    let this = permission_set::Column::Id.eq(set.uuid());
                    let of_keys = api_key_permission_set::Column::PermissionSetId.eq(set.uuid());
                    let of_members = user_permission_set::Column::PermissionSetId.eq(set.uuid());
                    let row = permission_set::Entity::delete_many()
                        .filter(this)
                        .filter(is_any(api_key_permission_set::Entity, of_keys).not())
                        .filter(is_any(user_permission_set::Entity, of_members).not());
                    Ok(if row.exec(transaction).await?.rows_affected > 0 {
                        RemovedBatch::Done
                    } else {
                        RemovedBatch::Busy
                    })
                })
            });
            match remove.await? {
                RemovedBatch::Removed(_, took) => batches.give_way(took, &self.workers.stop).await,
                RemovedBatch::Done => return Ok(true),
                RemovedBatch::EndOfKeys | RemovedBatch::Busy => return Ok(false),
            }
        }
        Ok(false)
    }
}

/// Locks keys of an organization and skips those that another node has locked. In the order of creation: id, `created_at`,
/// `deleted_at`. Locked rows are not waited for, so that this order cannot cause a deadlock.
async fn lock_keys<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    after: Option<CreationPosition>,
    size: u64,
) -> Result<Vec<(Uuid, i64, Option<i64>)>, DbFailure> {
    let position = || Expr::tuple([Expr::col(api_key::Column::CreatedAt), Expr::col(api_key::Column::Id)]);
    let keys = api_key::Entity::find()
        .select_only()
        .columns([api_key::Column::Id, api_key::Column::CreatedAt, api_key::Column::DeletedAt])
        .filter(api_key::Column::OrganizationId.eq(organization.uuid()))
        // PostgreSQL's index still has the removed rows before that place, which each batch would scan again.
        .apply_if(after, |find, (created_at, id)| {
            find.filter(position().gt(Expr::tuple([Expr::value(created_at), id.into()])))
        })
        .order_by_asc(api_key::Column::CreatedAt)
        .order_by_asc(api_key::Column::Id)
        .limit(size)
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .into_tuple()
        .all(db)
        .await?;
    Ok(keys)
}

async fn remove_sets<C: ConnectionTrait>(db: &C, organization: OrganizationId, size: u64) -> Result<u64, DbFailure> {
    let sets: Vec<Uuid> = permission_set::Entity::find()
        .select_only()
        .column(permission_set::Column::Id)
        .filter(permission_set::Column::OrganizationId.eq(organization.uuid()))
        .limit(size)
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .into_tuple()
        .all(db)
        .await?;
    let these = permission_set::Column::Id.is_in(sets);
    Ok(permission_set::Entity::delete_many().filter(these).exec(db).await?.rows_affected)
}

/// Removes an organization's own row, if all rows that refer to it are removed.
async fn remove_row<C: ConnectionTrait>(db: &C, organization: OrganizationId) -> Result<RemovedBatch, DbFailure> {
    let id = organization.uuid();
    let removed = organization::Entity::delete_many()
        .filter(organization::Column::Id.eq(id))
        .filter(organization::Column::RemovalBeganAt.is_not_null())
        .filter(is_any(api_key::Entity, api_key::Column::OrganizationId.eq(id)).not())
        .filter(is_any(user::Entity, user::Column::OrganizationId.eq(id)).not())
        .filter(is_any(removed_identity::Entity, removed_identity::Column::OrganizationId.eq(id)).not())
        .filter(is_any(permission_set::Entity, permission_set::Column::OrganizationId.eq(id)).not())
        .exec(db)
        .await?;
    // Another node may have done it.
    if removed.rows_affected > 0 || organization::Entity::find_by_id(id).one(db).await?.is_none() {
        Ok(RemovedBatch::Done)
    } else {
        Ok(RemovedBatch::Busy)
    }
}

/// Detaches a deleted set from at most `size` keys or members. Returns how many.
async fn detach<C: ConnectionTrait>(db: &C, set: SetId, size: u64) -> Result<u64, DbFailure> {
    let of_keys = api_key_permission_set::Column::PermissionSetId.eq(set.uuid());
    let keys: Vec<Uuid> = api_key_permission_set::Entity::find()
        .select_only()
        .column(api_key_permission_set::Column::ApiKeyId)
        .filter(of_keys.clone())
        .limit(size)
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .into_tuple()
        .all(db)
        .await?;
    if !keys.is_empty() {
        let these = api_key_permission_set::Column::ApiKeyId.is_in(keys);
        let detach = api_key_permission_set::Entity::delete_many().filter(of_keys).filter(these);
        return Ok(detach.exec(db).await?.rows_affected);
    }
    let of_members = user_permission_set::Column::PermissionSetId.eq(set.uuid());
    let users: Vec<Uuid> = user_permission_set::Entity::find()
        .select_only()
        .column(user_permission_set::Column::UserId)
        .filter(of_members.clone())
        .limit(size)
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .into_tuple()
        .all(db)
        .await?;
    let these = user_permission_set::Column::UserId.is_in(users);
    let detach = user_permission_set::Entity::delete_many().filter(of_members).filter(these);
    Ok(detach.exec(db).await?.rows_affected)
}

/// Whether a table has a row with this condition.
fn is_any(table: impl IntoTableRef, holds: SimpleExpr) -> SimpleExpr {
    Expr::exists(Query::select().expr(Expr::value(1)).from(table).and_where(holds).to_owned())
}

/// Marks a set as deleted that has too many holders to be removed at once; part of a transaction. From then on it has no permissions
/// and no name, and is invisible.
pub(crate) async fn mark_set<C: ConnectionTrait>(db: &C, set: SetId, context: &AuditContext) -> Result<(), DbFailure> {
    let row = permission_set::ActiveModel {
        id: Set(set.uuid()),
        // Its name is free for another set.
        name: Set(format!("deleted {set}")),
        permissions: Set(String::new()),
        updated_at: Set(context.at.millis()),
        deleted_at: Set(Some(context.at.millis())),
        ..permission_set::ActiveModel::default()
    };
    permission_set::Entity::update(row).exec(db).await?;
    Ok(())
}

/// Whether at least `many` keys or at least `many` members have a set.
pub(crate) async fn is_attached_to_many<C: ConnectionTrait>(db: &C, set: SetId, many: u64) -> Result<bool, DbFailure> {
    let keys: Vec<Uuid> = api_key_permission_set::Entity::find()
        .select_only()
        .column(api_key_permission_set::Column::ApiKeyId)
        .filter(api_key_permission_set::Column::PermissionSetId.eq(set.uuid()))
        .limit(many)
        .into_tuple()
        .all(db)
        .await?;
    let members: Vec<Uuid> = user_permission_set::Entity::find()
        .select_only()
        .column(user_permission_set::Column::UserId)
        .filter(user_permission_set::Column::PermissionSetId.eq(set.uuid()))
        .limit(many)
        .into_tuple()
        .all(db)
        .await?;
    Ok(Ord::max(keys.len(), members.len()) as u64 >= many)
}

/// The ids of deleted sets that are not removed yet: few, if any.
pub(crate) fn deleted_sets() -> SelectStatement {
    Query::select()
        .column(permission_set::Column::Id)
        .from(permission_set::Entity)
        .and_where(permission_set::Column::DeletedAt.is_not_null())
        .to_owned()
}
