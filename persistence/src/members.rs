//! Who is a member where. Changes of an organization's members and sets lock its row, so that the last member who may do
//! everything stays, also when two go at once.

use std::collections::HashMap;

use async_trait::async_trait;
use domain::{
    Error, Outage,
    act::Act,
    cooperation::Pace,
    error::Grantee,
    id::{OrganizationId, SetId, UserId},
    organization::Capped,
    permission::PermissionSet,
    ports::{Brought, Members, MembershipChanges},
    user::{Member, Membership},
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
    QueryTrait, prelude::Uuid,
};

use crate::{
    Store, audit, convert,
    effective::{Held, Sizes},
    entity::{membership, membership_permission_set, user},
    last_admin::{has_admin, keep_admin, sets_of},
    organizations::lock,
    outage::{Failure, there},
    people::known_or_new,
    retry, sets,
};

#[async_trait]
impl Members for Store {
    async fn list(
        &self,
        organization: OrganizationId,
        after: Option<UserId>,
        limit: u64,
    ) -> Result<Vec<Member>, Outage> {
        let rows = membership::Entity::find()
            .filter(membership::Column::OrganizationId.eq(organization.uuid()))
            .apply_if(after, |find, after| find.filter(membership::Column::UserId.gt(after.uuid())))
            .order_by_asc(membership::Column::UserId)
            .limit(limit)
            .all(&self.pools.read)
            .await
            .map_err(Failure::from)?;
        Ok(complete(&self.pools.read, organization, rows).await?)
    }

    async fn find(&self, organization: OrganizationId, user: UserId) -> Result<Option<Member>, Outage> {
        Ok(find(&self.pools.read, organization, user).await?)
    }

    async fn add(&self, membership: Membership, brought: Option<Brought>, act: &Act) -> Result<Member, Error> {
        let add = || self.add_once(membership.clone(), brought.clone(), act);
        Ok(retry::after_the_other(add).await?)
    }

    async fn update(
        &self,
        organization: OrganizationId,
        user: UserId,
        changes: MembershipChanges,
        act: &Act,
    ) -> Result<Member, Error> {
        let (act, most) = (act.clone(), self.caps.changes);
        let update = self.transaction(move |transaction, changed| {
            let (changes, act) = (changes.clone(), act.clone());
            changed.members.push((organization, user));
            Box::pin(async move {
                lock(transaction, organization).await?;
                let had_admin = has_admin(transaction, organization).await?;
                let before = there(find(transaction, organization, user).await?)?.membership;
                require_room(transaction, &before, &changes).await?;
                if let Some(permissions) = &changes.permissions {
                    let permissions = Set(convert::permissions_text(permissions));
                    let row = membership::ActiveModel { permissions, ..convert::membership_key(organization, user) };
                    membership::Entity::update(row).exec(transaction).await?;
                }
                if let Some(sets) = &changes.sets {
                    membership_permission_set::Entity::delete_many()
                        .filter(membership_permission_set::Column::OrganizationId.eq(organization.uuid()))
                        .filter(membership_permission_set::Column::UserId.eq(user.uuid()))
                        .exec(transaction)
                        .await?;
                    attach(transaction, organization, user, sets).await?;
                }
                keep_admin(transaction, organization, had_admin).await?;
                audit::note_within(transaction, &act, &[user.uuid()], most).await?;
                there(find(transaction, organization, user).await?)
            })
        });
        Ok(update.await?)
    }

    async fn remove(&self, organization: OrganizationId, user: UserId, act: &Act) -> Result<(), Error> {
        let act = act.clone();
        let remove = self.transaction(move |transaction, changed| {
            let act = act.clone();
            changed.members.push((organization, user));
            Box::pin(async move {
                lock(transaction, organization).await?;
                let had_admin = has_admin(transaction, organization).await?;
                let id = (organization.uuid(), user.uuid());
                let removed = membership::Entity::delete_by_id(id).exec(transaction).await?;
                if removed.rows_affected == 0 {
                    return Err(Failure::Refused(Error::NotFound));
                }
                keep_admin(transaction, organization, had_admin).await?;
                audit::note(transaction, &act, &[user.uuid()]).await
            })
        });
        Ok(remove.await?)
    }
}

impl Store {
    async fn add_once(&self, membership: Membership, brought: Option<Brought>, act: &Act) -> Result<Member, Failure> {
        let (caps, act) = (self.caps, act.clone());
        let add = self.transaction(move |transaction, changed| {
            let (mut membership, brought, act) = (membership.clone(), brought.clone(), act.clone());
            Box::pin(async move {
                let organization = membership.organization;
                let home = lock(transaction, organization).await?;
                let here = membership::Column::OrganizationId.eq(organization.uuid());
                let count = membership::Entity::find().filter(here).count(transaction).await?;
                if let Some(brought) = brought {
                    membership.user = known_or_new(transaction, &brought).await?;
                } else if user::Entity::find_by_id(membership.user.uuid()).one(transaction).await?.is_none() {
                    return Err(Failure::Refused(Error::UserNotFound));
                }
                if find(transaction, organization, membership.user).await?.is_some() {
                    return Err(Failure::Refused(Error::AlreadyMember));
                }
                caps.require_room(&home, Capped::Members, count)?;
                let mut sizes = Sizes::default();
                let held = held(&membership.permissions, &membership.sets);
                sizes.read(transaction, organization, held.sets.iter().copied()).await?;
                sizes.require_room(None, &held, Grantee::Requested).await?;
                changed.members.push((organization, membership.user));
                let row = convert::membership_row(&membership);
                membership::Entity::insert(row).exec_without_returning(transaction).await?;
                attach(transaction, organization, membership.user, &membership.sets).await?;
                audit::note_within(transaction, &act, &[membership.user.uuid()], caps.changes).await?;
                there(find(transaction, organization, membership.user).await?)
            })
        });
        add.await
    }
}

fn held(permissions: &PermissionSet, sets: &[SetId]) -> Held {
    Held { own: convert::permissions_text(permissions), sets: sets.iter().map(|set| set.uuid()).collect() }
}

/// Refuses a change after which a member would hold too many permissions. The organization's row is locked.
async fn require_room<C: ConnectionTrait>(
    db: &C,
    membership: &Membership,
    changes: &MembershipChanges,
) -> Result<(), Failure> {
    let before = held(&membership.permissions, &membership.sets);
    let after = held(
        changes.permissions.as_ref().unwrap_or(&membership.permissions),
        changes.sets.as_ref().unwrap_or(&membership.sets),
    );
    let mut sizes = Sizes::default();
    sizes.read(db, membership.organization, before.sets.iter().chain(&after.sets).copied()).await?;
    sizes.require_room(Some(&before), &after, Grantee::Requested).await
}

async fn attach<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    user: UserId,
    attached: &[SetId],
) -> Result<(), Failure> {
    sets::require_all(db, organization, attached).await?;
    if attached.is_empty() {
        return Ok(());
    }
    let rows = attached.iter().map(|set| membership_permission_set::ActiveModel {
        organization_id: Set(organization.uuid()),
        user_id: Set(user.uuid()),
        permission_set_id: Set(set.uuid()),
    });
    membership_permission_set::Entity::insert_many(rows).exec_without_returning(db).await?;
    Ok(())
}

async fn find<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    user: UserId,
) -> Result<Option<Member>, Failure> {
    let row = membership::Entity::find_by_id((organization.uuid(), user.uuid())).one(db).await?;
    Ok(complete(db, organization, row.into_iter().collect()).await?.pop())
}

/// The members of these rows, with their names and sets.
async fn complete<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    rows: Vec<membership::Model>,
) -> Result<Vec<Member>, Failure> {
    let ids = || rows.iter().map(|row| row.user_id);
    let users = user::Entity::find().filter(user::Column::Id.is_in(ids())).all(db).await?;
    let mut users: HashMap<Uuid, user::Model> = users.into_iter().map(|user| (user.id, user)).collect();
    let mut sets = sets_of(db, organization, Some(ids().collect())).await?;
    let (mut members, mut pace) = (Vec::with_capacity(rows.len()), Pace::default());
    for row in &rows {
        pace.worked(row.permissions.len()).await;
        // A user who went in between is no member any more.
        if let Some(user) = users.remove(&row.user_id) {
            let sets = sets.remove(&row.user_id).unwrap_or_default();
            members.push(Member { user: convert::user(user)?, membership: convert::membership(row, sets)? });
        }
    }
    Ok(members)
}
