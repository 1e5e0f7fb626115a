//! Permission sets: named permissions that can be attached to keys and members.

use std::collections::BTreeSet;

use async_trait::async_trait;
use domain::{
    Error, Outage,
    audit::context::AuditContext,
    cooperation::Pace,
    error::Capped,
    id::{OrganizationId, SetId},
    organizations::permission_set::{PermissionSet, SetHolders, SetVersion},
    ports::{ChangeLock, SetChanges, Sets},
};
use sea_orm::{
    ActiveValue, ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect, QueryTrait, Select,
    prelude::Uuid,
    sea_query::{Expr, ExprTrait, Query},
};

use crate::{
    database::{Database, batches},
    db::{
        MAX_ROWS_PER_STATEMENT,
        count::count_up_to,
        error::{DbFailure, or_not_found},
    },
    organizations::{
        last_admin::{has_admin, keep_admin},
        lock,
        removal::{is_attached_to_many, mark_set},
        unless_taken,
        widening::{self, CheckedHolders},
    },
    rows::{
        convert,
        entity::{api_key, api_key_permission_set, permission_set, user_permission_set},
    },
};

#[async_trait]
impl Sets for Database {
    async fn list(
        &self,
        organization: OrganizationId,
        after: Option<SetId>,
        limit: u64,
    ) -> Result<Vec<PermissionSet>, Outage> {
        let rows = live(organization)
            .apply_if(after, |find, after| find.filter(permission_set::Column::Id.gt(after.uuid())))
            .order_by_asc(permission_set::Column::Id)
            .limit(limit)
            .all(&self.pools.read)
            .await
            .map_err(DbFailure::from)?;
        Ok(named_sets(&rows).await?)
    }

    async fn find(&self, organization: OrganizationId, set: SetId) -> Result<Option<PermissionSet>, Outage> {
        Ok(find(&self.pools.read, organization, set).await?)
    }

    async fn count_holders(&self, set: SetId) -> Result<SetHolders, Outage> {
        let (db, max) = (&self.pools.read, SetHolders::MAX_COUNTED + 1);
        let keys = api_key_permission_set::Entity::find()
            .select_only()
            .column(api_key_permission_set::Column::ApiKeyId)
            .filter(of_live_keys(set))
            .into_query();
        let members = user_permission_set::Entity::find()
            .select_only()
            .column(user_permission_set::Column::UserId)
            .filter(user_permission_set::Column::PermissionSetId.eq(set.uuid()))
            .into_query();
        Ok(SetHolders { keys: count_up_to(db, keys, max).await?, members: count_up_to(db, members, max).await? })
    }

    async fn resolve(&self, organization: OrganizationId, sets: &[SetId]) -> Result<Vec<PermissionSet>, Error> {
        let found = find_many(&self.pools.read, organization, sets).await?;
        if found.len() < sets.len() { Err(Error::SetNotFound) } else { Ok(found) }
    }

    async fn find_many(&self, organization: OrganizationId, sets: &[SetId]) -> Result<Vec<PermissionSet>, Outage> {
        let mut found = Vec::new();
        for sets in sets.chunks(MAX_ROWS_PER_STATEMENT) {
            found.extend(find_many(&self.pools.read, organization, sets).await?);
        }
        Ok(found)
    }

    async fn create(&self, set: &PermissionSet, context: &AuditContext) -> Result<(), Error> {
        let (caps, set, context) = (self.caps, set.clone(), context.clone());
        let create = self.transaction(move |transaction, changed| {
            let (set, context) = (set.clone(), context.clone());
            Box::pin(async move {
                let organization_row = lock(transaction, set.organization).await?;
                let count = live(set.organization).count(transaction).await?;
                caps.require_room(&organization_row, Capped::Sets, count)?;
                let row = convert::named_set_row(&set);
                permission_set::Entity::insert(row).exec_without_returning(transaction).await?;
                changed.log.record_within(&context, &[set.id.uuid()], caps.changes);
                changed.log.record_idempotency_key(&context);
                Ok(())
            })
        });
        Ok(unless_taken(create.await, Error::NameTaken)?)
    }

    async fn lock_for_change(&self, organization: OrganizationId) -> Result<ChangeLock, Error> {
        Ok(Box::new(self.turns.take(organization, organization.uuid()).await?))
    }

    async fn update(
        &self,
        seen: &PermissionSet,
        changes: SetChanges,
        context: &AuditContext,
    ) -> Result<Option<PermissionSet>, Error> {
        let checked = self.check_holders(seen.organization, seen.id, &changes).await?;
        let update = self.update_set(seen.clone(), changes, checked, context.clone());
        Ok(unless_taken(update.await, Error::NameTaken)?)
    }

    async fn delete(
        &self,
        organization: OrganizationId,
        set: SetId,
        detach: bool,
        context: &AuditContext,
    ) -> Result<(), Error> {
        let context = context.clone();
        let delete = self.transaction(move |transaction, changed| {
            let context = context.clone();
            changed.cached.sets.push(set);
            Box::pin(async move {
                lock(transaction, organization).await?;
                // Locked, so that it is not attached anywhere between the check and the commit.
                let this = live(organization).filter(permission_set::Column::Id.eq(set.uuid())).lock_exclusive();
                or_not_found(this.one(transaction).await?)?;
                if !detach && is_used(transaction, set).await? {
                    return Err(DbFailure::Refused(Error::InUse));
                }
                let had_admin = has_admin(transaction, organization).await?;
                let is_marked = is_attached_to_many(transaction, set, batches::MAX_ROWS).await?;
                if is_marked {
                    mark_set(transaction, set, &context).await?;
                } else {
                    permission_set::Entity::delete_by_id(set.uuid()).exec(transaction).await?;
                }
                keep_admin(transaction, organization, had_admin).await?;
                changed.log.record(&context, &[set.uuid()]);
                Ok(is_marked)
            })
        });
        if delete.await? {
            self.removals.notify_one();
        }
        Ok(())
    }
}

impl Database {
    /// Changes a set whose holders were checked, if it still has the permissions of `seen`. `None`: it has others, or its holders have
    /// to be checked again.
    async fn update_set(
        &self,
        seen: PermissionSet,
        changes: SetChanges,
        checked: Option<CheckedHolders>,
        context: AuditContext,
    ) -> Result<Option<PermissionSet>, DbFailure> {
        let max_changes = self.caps.changes;
        let (organization, set) = (seen.organization, seen.id);
        let update = self.transaction(move |transaction, changed| {
            let (seen, changes, checked, context) =
                (seen.permissions.clone(), changes.clone(), checked.clone(), context.clone());
            if changes.permissions.is_some() {
                changed.cached.sets.push(set);
            }
            Box::pin(async move {
                lock(transaction, organization).await?;
                if or_not_found(find(transaction, organization, set).await?)?.permissions != seen {
                    return Ok(None);
                }
                if let Some(checked) = &checked
                    && !widening::check_changed_holders(transaction, organization, checked).await?
                {
                    return Ok(None);
                }
                let changes_policy = !changes.key_policy.is_keep();
                // A new name changes no permissions.
                let had_admin = changes.permissions.is_some() && has_admin(transaction, organization).await?;
                let row = permission_set::ActiveModel {
                    name: changes.name.map_or(ActiveValue::NotSet, |name| ActiveValue::Set(name.as_str().to_owned())),
                    permissions: changes
                        .permissions
                        .map_or(ActiveValue::NotSet, |set| ActiveValue::Set(convert::permissions_text(&set))),
                    key_policy: convert::column(changes.key_policy.map(|policy| convert::key_policy_text(&policy))),
                    updated_at: ActiveValue::Set(context.at.millis()),
                    ..permission_set::ActiveModel::default()
                };
                let updated = permission_set::Entity::update_many()
                    .set(row)
                    .filter(permission_set::Column::OrganizationId.eq(organization.uuid()))
                    .filter(permission_set::Column::DeletedAt.is_null())
                    .filter(permission_set::Column::Id.eq(set.uuid()))
                    .exec(transaction)
                    .await?;
                if updated.rows_affected == 0 {
                    return Err(DbFailure::Refused(Error::NotFound));
                }
                keep_admin(transaction, organization, had_admin).await?;
                let fields = if changes_policy { &["key_policy"][..] } else { &[] };
                changed.log.record_changed_fields(&context, set.uuid(), fields, max_changes);
                or_not_found(find(transaction, organization, set).await?).map(Some)
            })
        });
        update.await
    }
}

/// A query of the permission sets of an organization that are not deleted.
fn live(organization: OrganizationId) -> Select<permission_set::Entity> {
    permission_set::Entity::find()
        .filter(permission_set::Column::OrganizationId.eq(organization.uuid()))
        .filter(permission_set::Column::DeletedAt.is_null())
}

/// The keys that have a set and are not deleted: a condition on the rows that attach sets to keys.
fn of_live_keys(set: SetId) -> Condition {
    // From the set to its keys: the organization may have a million keys.
    let is_live = Query::select()
        .expr(Expr::value(1))
        .from(api_key::Entity)
        .and_where(
            Expr::col((api_key::Entity, api_key::Column::Id))
                .equals((api_key_permission_set::Entity, api_key_permission_set::Column::ApiKeyId)),
        )
        .and_where(api_key::Column::DeletedAt.is_null())
        .to_owned();
    Condition::all().add(api_key_permission_set::Column::PermissionSetId.eq(set.uuid())).add(Expr::exists(is_live))
}

/// Whether a key or member has a set. A deleted key does not count.
async fn is_used<C: ConnectionTrait>(db: &C, set: SetId) -> Result<bool, DbFailure> {
    let of_members = user_permission_set::Column::PermissionSetId.eq(set.uuid());
    Ok(api_key_permission_set::Entity::find().filter(of_live_keys(set)).one(db).await?.is_some()
        || user_permission_set::Entity::find().filter(of_members).one(db).await?.is_some())
}

/// The row of a permission set.
pub(crate) async fn row<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    set: SetId,
) -> Result<Option<permission_set::Model>, DbErr> {
    live(organization).filter(permission_set::Column::Id.eq(set.uuid())).one(db).await
}

async fn find<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    set: SetId,
) -> Result<Option<PermissionSet>, DbFailure> {
    let row = row(db, organization, set).await?;
    Ok(row.as_ref().map(convert::named_set).transpose()?)
}

/// Requires that all of these sets belong to the organization.
pub(crate) async fn require_all<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    sets: &[SetId],
) -> Result<(), DbFailure> {
    let these = permission_set::Column::Id.is_in(sets.iter().map(|set| set.uuid()));
    let found = live(organization).filter(these).count(db).await?;
    if found < sets.len() as u64 { Err(DbFailure::Refused(Error::SetNotFound)) } else { Ok(()) }
}

/// The stored permissions of a permission set, and its version.
pub(crate) struct StoredSet {
    pub(crate) id: SetId,
    pub(crate) permissions: String,
    pub(crate) version: SetVersion,
}

/// Those of these sets that belong to the organization, as they are stored.
pub(crate) async fn stored<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    sets: &BTreeSet<SetId>,
) -> Result<Vec<StoredSet>, DbFailure> {
    let sets: Vec<Uuid> = sets.iter().map(|set| set.uuid()).collect();
    let (mut found, mut pace) = (Vec::with_capacity(sets.len()), Pace::default());
    for sets in sets.chunks(MAX_ROWS_PER_STATEMENT) {
        let rows: Vec<(Uuid, String, Option<String>)> = live(organization)
            .filter(permission_set::Column::Id.is_in(sets.iter().copied()))
            .select_only()
            .columns([
                permission_set::Column::Id,
                permission_set::Column::Permissions,
                permission_set::Column::KeyPolicy,
            ])
            .into_tuple()
            .all(db)
            .await?;
        for (id, permissions, key_policy) in rows {
            pace.worked(permissions.len() + key_policy.as_ref().map_or(0, String::len)).await;
            let version = convert::set_version(&permissions, key_policy.as_deref());
            found.push(StoredSet { id: SetId::from_uuid(id), permissions, version });
        }
    }
    Ok(found)
}

/// Those of these sets that belong to the organization.
pub(crate) async fn find_many<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    sets: &[SetId],
) -> Result<Vec<PermissionSet>, DbFailure> {
    if sets.is_empty() {
        return Ok(Vec::new());
    }
    let rows =
        live(organization).filter(permission_set::Column::Id.is_in(sets.iter().map(|set| set.uuid()))).all(db).await?;
    named_sets(&rows).await
}

/// The permission sets of an organization that have a key policy.
pub(crate) async fn with_policies<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
) -> Result<Vec<PermissionSet>, DbFailure> {
    let rows = live(organization).filter(permission_set::Column::KeyPolicy.is_not_null()).all(db).await?;
    named_sets(&rows).await
}

async fn named_sets(rows: &[permission_set::Model]) -> Result<Vec<PermissionSet>, DbFailure> {
    let (mut sets, mut pace) = (Vec::with_capacity(rows.len()), Pace::default());
    for row in rows {
        pace.worked(row.permissions.len() + row.key_policy.as_ref().map_or(0, String::len)).await;
        sets.push(convert::named_set(row)?);
    }
    Ok(sets)
}
