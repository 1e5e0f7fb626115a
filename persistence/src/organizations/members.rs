//! The users of organizations. Changes of an organization's users and permission sets lock its row first, so that two concurrent
//! changes cannot remove the last user with full access.

use async_trait::async_trait;
use domain::{
    Error, Outage,
    audit::context::AuditContext,
    cooperation::Pace,
    error::{Capped, Grantee},
    id::{OrganizationId, SetId, UserId},
    organizations::user::{Email, User, UserOrigin},
    permissions::Permissions,
    ports::{ChangeLock, Members, NewUser, UserChanges},
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
    Select,
    sea_query::{LockType, SimpleExpr},
};

use crate::{
    database::Database,
    db::{
        error::{DbFailure, or_not_found},
        retry,
    },
    organizations::{
        effective::{PermissionCounter, StoredPermissions},
        external_identities,
        last_admin::{has_admin, keep_admin, sets_of},
        lock, permission_sets, user_removal,
    },
    rows::{
        convert,
        entity::{organization, user, user_permission_set},
    },
    settings::DefaultCaps,
};

#[async_trait]
impl Members for Database {
    async fn list(&self, organization: OrganizationId, after: Option<UserId>, limit: u64) -> Result<Vec<User>, Outage> {
        let find = user::Entity::find().filter(in_organization(organization));
        Ok(page(&self.pools.read, find, after, limit).await?)
    }

    async fn find(&self, organization: OrganizationId, user: UserId) -> Result<Option<User>, Outage> {
        Ok(find(&self.pools.read, organization, user).await?)
    }

    async fn add(&self, new: NewUser, context: &AuditContext) -> Result<User, Error> {
        let add = || self.add_once(new.clone(), context);
        Ok(retry::retry_once_on_conflict(add).await?)
    }

    async fn lock_for_change(&self, organization: OrganizationId, user: UserId) -> Result<ChangeLock, Error> {
        Ok(Box::new(self.turns.take(organization, user.uuid()).await?))
    }

    async fn update(&self, seen: &User, changes: UserChanges, context: &AuditContext) -> Result<Option<User>, Error> {
        let (seen, context, max_changes) = (seen.clone(), context.clone(), self.caps.changes);
        let (organization, user) = (seen.organization, seen.id);
        let update = self.transaction(move |transaction, changed| {
            let (seen, changes, context) = (seen.clone(), changes.clone(), context.clone());
            changed.cached.members.push((organization, user));
            Box::pin(async move {
                lock(transaction, organization).await?;
                let before = or_not_found(find(transaction, organization, user).await?)?;
                if before.permissions != seen.permissions || before.sets != seen.sets {
                    return Ok(None);
                }
                let had_admin = has_admin(transaction, organization).await?;
                require_room(transaction, &before, &changes).await?;
                if let Some(permissions) = &changes.permissions {
                    let row = user::ActiveModel {
                        id: Set(user.uuid()),
                        permissions: Set(convert::permissions_text(permissions)),
                        ..user::ActiveModel::default()
                    };
                    user::Entity::update(row).exec(transaction).await?;
                }
                if let Some(sets) = &changes.sets {
                    user_permission_set::Entity::delete_many()
                        .filter(user_permission_set::Column::UserId.eq(user.uuid()))
                        .exec(transaction)
                        .await?;
                    attach(transaction, organization, user, sets).await?;
                }
                keep_admin(transaction, organization, had_admin).await?;
                changed.log.record_within(&context, &[user.uuid()], max_changes);
                or_not_found(find(transaction, organization, user).await?).map(Some)
            })
        });
        Ok(update.await?)
    }

    async fn remove(&self, organization: OrganizationId, user: UserId, context: &AuditContext) -> Result<(), Error> {
        let context = context.clone();
        let remove = self.transaction(move |transaction, changed| {
            let context = context.clone();
            changed.cached.members.push((organization, user));
            Box::pin(async move {
                lock(transaction, organization).await?;
                let had_admin = has_admin(transaction, organization).await?;
                user_removal::remove(transaction, organization, user, context.at).await?;
                keep_admin(transaction, organization, had_admin).await?;
                changed.log.record(&context, &[user.uuid()]);
                Ok(())
            })
        });
        Ok(remove.await?)
    }

    async fn erase(&self, organization: OrganizationId, user: UserId, context: &AuditContext) -> Result<(), Error> {
        let context = context.clone();
        let erase = self.transaction(move |transaction, changed| {
            let context = context.clone();
            changed.cached.members.push((organization, user));
            Box::pin(async move {
                // Also of a deleted organization.
                let row = organization::Entity::find_by_id(organization.uuid()).lock(LockType::NoKeyUpdate);
                or_not_found(row.one(transaction).await?)?;
                user_removal::remove(transaction, organization, user, context.at).await?;
                changed.log.record(&context, &[user.uuid()]);
                Ok(())
            })
        });
        Ok(erase.await?)
    }

    async fn find_by_email(&self, email: &Email, after: Option<UserId>, limit: u64) -> Result<Vec<User>, Outage> {
        let find = user::Entity::find()
            .filter(user::Column::EmailCanonical.is_in(email.stored_forms()))
            .filter(user::Column::OrganizationId.is_not_null());
        Ok(page(&self.pools.read, find, after, limit).await?)
    }
}

impl Database {
    async fn add_once(&self, new: NewUser, context: &AuditContext) -> Result<User, DbFailure> {
        let (caps, context) = (self.caps, context.clone());
        let add = self.transaction(move |transaction, changed| {
            let (new, context) = (new.clone(), context.clone());
            Box::pin(async move {
                let (organization, id) = (new.user.organization, new.user.id);
                let organization_row = lock(transaction, organization).await?;
                changed.cached.members.push((organization, id));
                insert(transaction, &organization_row, &new, caps).await?;
                changed.log.record_within(&context, &[id.uuid()], caps.changes);
                changed.log.record_idempotency_key(&context);
                or_not_found(find(transaction, organization, id).await?)
            })
        });
        add.await
    }
}

/// Stores a new user, if the organization has room for them; part of a transaction that has locked the organization's row.
pub(crate) async fn insert<C: ConnectionTrait>(
    db: &C,
    organization_row: &organization::Model,
    new: &NewUser,
    caps: DefaultCaps,
) -> Result<(), DbFailure> {
    let user = &new.user;
    let organization = user.organization;
    require_new(db, new).await?;
    let count = user::Entity::find().filter(in_organization(organization)).count(db).await?;
    caps.require_room(organization_row, Capped::Members, count)?;
    let mut counter = PermissionCounter::default();
    let stored = stored(&user.permissions, &user.sets);
    counter.read(db, organization, stored.sets.iter().copied()).await?;
    counter.require_room(None, &stored, Grantee::Requested).await?;
    user::Entity::insert(convert::user_row(user)).exec_without_returning(db).await?;
    if let Some(identity) = &new.identity {
        external_identities::link(db, identity, new).await?;
    }
    attach(db, organization, user.id, &user.sets).await
}

/// Refuses a user that the organization has already. The caller has locked its row.
async fn require_new<C: ConnectionTrait>(db: &C, new: &NewUser) -> Result<(), DbFailure> {
    let is_there = match (&new.identity, &new.user.email) {
        (Some(identity), _) => {
            external_identities::require_linkable(db, new.user.organization, identity, new.joined_by).await?;
            false
        }
        (None, Some(email)) => {
            let same = user::Entity::find()
                .filter(in_organization(new.user.organization))
                .filter(user::Column::EmailCanonical.eq(email.canonical()))
                .filter(user::Column::Origin.ne(UserOrigin::IdentityProvider.code()));
            same.one(db).await?.is_some()
        }
        (None, None) => false,
    };
    if is_there { Err(DbFailure::Refused(Error::AlreadyMember)) } else { Ok(()) }
}

fn stored(permissions: &Permissions, sets: &[SetId]) -> StoredPermissions {
    StoredPermissions { own: convert::permissions_text(permissions), sets: sets.iter().map(|set| set.uuid()).collect() }
}

/// Refuses a change that gives a member too many permissions. The caller has locked the organization's row.
async fn require_room<C: ConnectionTrait>(db: &C, user: &User, changes: &UserChanges) -> Result<(), DbFailure> {
    let before = stored(&user.permissions, &user.sets);
    let after =
        stored(changes.permissions.as_ref().unwrap_or(&user.permissions), changes.sets.as_ref().unwrap_or(&user.sets));
    let mut counter = PermissionCounter::default();
    counter.read(db, user.organization, before.sets.iter().chain(&after.sets).copied()).await?;
    counter.require_room(Some(&before), &after, Grantee::Requested).await
}

async fn attach<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    user: UserId,
    attached: &[SetId],
) -> Result<(), DbFailure> {
    permission_sets::require_all(db, organization, attached).await?;
    if attached.is_empty() {
        return Ok(());
    }
    let rows = attached
        .iter()
        .map(|set| user_permission_set::ActiveModel { user_id: Set(user.uuid()), permission_set_id: Set(set.uuid()) });
    user_permission_set::Entity::insert_many(rows).exec_without_returning(db).await?;
    Ok(())
}

/// Whether a row is a user of the organization.
pub(crate) fn in_organization(organization: OrganizationId) -> SimpleExpr {
    user::Column::OrganizationId.eq(organization.uuid())
}

/// A query of a user of an organization.
pub(crate) fn of(organization: OrganizationId, user: UserId) -> Select<user::Entity> {
    user::Entity::find_by_id(user.uuid()).filter(in_organization(organization))
}

async fn find<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    user: UserId,
) -> Result<Option<User>, DbFailure> {
    let row = of(organization, user).one(db).await?;
    Ok(load_relations(db, row.into_iter().collect()).await?.pop())
}

/// At most `limit` of these users after `after`, in the order of their ids.
async fn page<C: ConnectionTrait>(
    db: &C,
    find: Select<user::Entity>,
    after: Option<UserId>,
    limit: u64,
) -> Result<Vec<User>, DbFailure> {
    let rows = find
        .apply_if(after, |find, after| find.filter(user::Column::Id.gt(after.uuid())))
        .order_by_asc(user::Column::Id)
        .limit(limit)
        .all(db)
        .await?;
    load_relations(db, rows).await
}

/// Loads the permission sets of these users, and converts the rows.
async fn load_relations<C: ConnectionTrait>(db: &C, rows: Vec<user::Model>) -> Result<Vec<User>, DbFailure> {
    let mut sets = sets_of(db, rows.iter().map(|row| row.id).collect()).await?;
    let (mut users, mut pace) = (Vec::with_capacity(rows.len()), Pace::default());
    for row in &rows {
        pace.worked(row.permissions.len()).await;
        users.push(convert::user(row, sets.remove(&row.id).unwrap_or_default())?);
    }
    Ok(users)
}
