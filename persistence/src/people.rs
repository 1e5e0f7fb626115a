//! Users of identity providers, and where they are members.

use std::collections::HashMap;

use async_trait::async_trait;
use domain::{
    Outage,
    cooperation::Pace,
    id::{OrganizationId, UserId},
    identity::{Identity, Standing},
    permission::PermissionSet,
    ports::{Brought, Known, People},
    user::{Contact, User, UserName},
};
use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
    prelude::Uuid,
};

use crate::{
    Store, convert,
    entity::{identity, membership, membership_permission_set, organization, permission_set, user},
    outage::Failure,
    retry,
};

/// Memberships of one user that count.
const STANDINGS: u64 = 1_000;

#[async_trait]
impl People for Store {
    async fn find(&self, identity: &Identity) -> Result<Option<Known>, Outage> {
        Ok(by_identity(&self.pools.verification, identity).await?)
    }

    async fn user(&self, user: UserId) -> Result<Option<User>, Outage> {
        let row = user::Entity::find_by_id(user.uuid()).one(&self.pools.verification).await.map_err(Failure::from)?;
        Ok(row.map(convert::user).transpose().map_err(Failure::from)?)
    }

    async fn make(&self, brought: Brought) -> Result<UserId, Outage> {
        let make = || {
            let brought = brought.clone();
            self.transaction(move |transaction, _| {
                let brought = brought.clone();
                Box::pin(async move { known_or_new(transaction, &brought).await })
            })
        };
        Ok(retry::after_the_other(make).await?)
    }

    async fn standings(&self, user: UserId, only: Option<OrganizationId>) -> Result<Vec<Standing>, Outage> {
        Ok(standings(&self.pools.verification, user, only).await?)
    }
}

async fn by_identity<C: ConnectionTrait>(db: &C, identity: &Identity) -> Result<Option<Known>, Failure> {
    let id = (identity.issuer.clone(), identity.subject.clone());
    let row = identity::Entity::find_by_id(id).one(db).await?;
    Ok(row.map(|row| Known { user: UserId::from_uuid(row.user_id), is_seen: row.seen_at.is_some() }))
}

/// The user with this identity or address, made now if there is none.
pub(crate) async fn known_or_new<C: ConnectionTrait>(db: &C, brought: &Brought) -> Result<UserId, Failure> {
    let new = &brought.user;
    if let Some(identity) = &brought.identity {
        if let Some(known) = by_identity(db, identity).await? {
            if brought.is_seen && !known.is_seen {
                see(db, identity, known.user, new).await?;
            }
            return Ok(known.user);
        }
    } else if let Contact::Own(email) = &new.contact {
        let address = user::Column::EmailCanonical.eq(email.canonical());
        if let Some(row) = user::Entity::find().filter(address).one(db).await? {
            return Ok(UserId::from_uuid(row.id));
        }
    }
    user::Entity::insert(convert::user_row(new)).exec_without_returning(db).await?;
    if let Some(identity) = &brought.identity {
        let row = identity::ActiveModel {
            user_id: Set(new.id.uuid()),
            created_at: Set(new.created_at.millis()),
            seen_at: Set(brought.is_seen.then_some(new.created_at.millis())),
            ..identity_key(identity)
        };
        identity::Entity::insert(row).exec_without_returning(db).await?;
    }
    Ok(new.id)
}

/// Notes that the provider itself has shown somebody whom others have spoken of, and what it says about them.
async fn see<C: ConnectionTrait>(db: &C, identity: &Identity, known: UserId, said: &User) -> Result<(), Failure> {
    let row = identity::ActiveModel { seen_at: Set(Some(said.created_at.millis())), ..identity_key(identity) };
    identity::Entity::update(row).exec(db).await?;
    let row = user::ActiveModel {
        id: Set(known.uuid()),
        name: if said.name == UserName::unnamed() { NotSet } else { Set(said.name.as_str().to_owned()) },
        email: Set(said.email().unwrap_or_default().to_owned()),
        ..user::ActiveModel::default()
    };
    user::Entity::update(row).exec(db).await?;
    Ok(())
}

/// A row that says which one it is and nothing else.
fn identity_key(identity: &Identity) -> identity::ActiveModel {
    identity::ActiveModel {
        issuer: Set(identity.issuer.clone()),
        subject: Set(identity.subject.clone()),
        ..identity::ActiveModel::default()
    }
}

async fn standings<C: ConnectionTrait>(
    db: &C,
    user: UserId,
    only: Option<OrganizationId>,
) -> Result<Vec<Standing>, Failure> {
    let memberships = membership::Entity::find()
        .filter(membership::Column::UserId.eq(user.uuid()))
        .apply_if(only, |find, only| find.filter(membership::Column::OrganizationId.eq(only.uuid())))
        .order_by_asc(membership::Column::OrganizationId)
        .limit(STANDINGS)
        .all(db)
        .await?;
    let ids: Vec<_> = memberships.iter().map(|row| row.organization_id).collect();
    let in_use = organization::Entity::find()
        .filter(organization::Column::Id.is_in(ids))
        .filter(organization::Column::SuspendedAt.is_null())
        .filter(organization::Column::DeletedAt.is_null())
        .all(db)
        .await?;
    let attached = membership_permission_set::Entity::find()
        .filter(membership_permission_set::Column::UserId.eq(user.uuid()))
        .apply_if(only, |find, only| find.filter(membership_permission_set::Column::OrganizationId.eq(only.uuid())))
        .all(db)
        .await?;
    let sets = if attached.is_empty() {
        Vec::new()
    } else {
        let ids = attached.iter().map(|row| row.permission_set_id);
        permission_set::Entity::find().filter(permission_set::Column::Id.is_in(ids)).all(db).await?
    };
    let in_use: HashMap<Uuid, organization::Model> = in_use.into_iter().map(|home| (home.id, home)).collect();
    let mut sets_of: HashMap<Uuid, Vec<&permission_set::Model>> = HashMap::new();
    for set in &sets {
        sets_of.entry(set.organization_id).or_default().push(set);
    }
    let (mut standings, mut pace) = (Vec::with_capacity(memberships.len()), Pace::default());
    for row in memberships {
        let Some(home) = in_use.get(&row.organization_id) else { continue };
        let mut all = vec![convert::permissions(&row.permissions, "memberships", row.user_id)?];
        for set in sets_of.get(&row.organization_id).into_iter().flatten() {
            pace.worked(set.permissions.len()).await;
            all.push(convert::permissions(&set.permissions, "permission_sets", set.id)?);
        }
        pace.worked(row.permissions.len()).await;
        standings
            .push(Standing { organization: convert::organization(home)?, permissions: PermissionSet::union(&all) });
    }
    Ok(standings)
}
