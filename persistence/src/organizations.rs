//! Organizations: their settings, and what they may have at most.

use async_trait::async_trait;
use domain::{
    Error, Outage,
    act::{Act, Action},
    id::OrganizationId,
    organization::{Capped, DeletedOrganization, ExternalId, Organization},
    ports::{OrganizationChanges, Organizations},
    reach::Reach,
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
    Select,
    sea_query::{Expr, ExprTrait, LockType},
};

use crate::{
    Store, audit, convert,
    entity::{api_key, organization},
    outage::{Failure, there},
    reach::in_reach,
    settings::DefaultCaps,
};

#[async_trait]
impl Organizations for Store {
    async fn list(
        &self,
        only: Option<OrganizationId>,
        external_id: Option<&ExternalId>,
        after: Option<OrganizationId>,
        limit: u64,
    ) -> Result<Vec<Organization>, Outage> {
        let rows = organization::Entity::find()
            .filter(organization::Column::DeletedAt.is_null())
            .apply_if(only, |find, only| find.filter(organization::Column::Id.eq(only.uuid())))
            .apply_if(external_id, |find, id| find.filter(organization::Column::ExternalId.eq(id.as_str())))
            .apply_if(after, |find, after| find.filter(organization::Column::Id.gt(after.uuid())))
            .order_by_asc(organization::Column::Id)
            .limit(limit)
            .all(&self.pools.read)
            .await
            .map_err(Failure::from)?;
        Ok(rows.iter().map(convert::organization).collect::<Result<_, _>>().map_err(Failure::from)?)
    }

    async fn find(&self, organization: OrganizationId) -> Result<Option<Organization>, Outage> {
        Ok(find(&self.pools.read, organization).await?)
    }

    async fn create(&self, organization: &Organization, act: &Act) -> Result<(), Error> {
        let (id, row, act) = (organization.id, convert::organization_row(organization), act.clone());
        let caps = self.caps;
        let create = self.transaction(move |transaction, _| {
            let (row, act) = (row.clone(), act.clone());
            Box::pin(async move {
                organization::Entity::insert(row).exec_without_returning(transaction).await?;
                audit::note_within(transaction, &act, &[id.uuid()], caps.changes).await
            })
        });
        Ok(unless_taken(create.await)?)
    }

    async fn update(
        &self,
        organization: OrganizationId,
        changes: OrganizationChanges,
        act: &Act,
    ) -> Result<Organization, Error> {
        let (row, act) = (convert::organization_changes_row(&changes), act.clone());
        // Suspending must not wait for the next hour.
        let most = if act.action == Action::SuspendOrganization { u64::MAX } else { self.caps.changes };
        let is_seen_by_keys = !changes.external_id.is_keep() || !changes.suspended_at.is_keep();
        let update = self.transaction(move |transaction, changed| {
            let (row, act) = (row.clone(), act.clone());
            if is_seen_by_keys {
                changed.organizations.push(organization);
            }
            Box::pin(async move {
                let updated = organization::Entity::update_many()
                    .set(row)
                    .filter(organization::Column::Id.eq(organization.uuid()))
                    .filter(organization::Column::DeletedAt.is_null())
                    .exec(transaction)
                    .await?;
                if updated.rows_affected == 0 {
                    return Err(Failure::Refused(Error::NotFound));
                }
                audit::note_within(transaction, &act, &[organization.uuid()], most).await?;
                there(find(transaction, organization).await?)
            })
        });
        Ok(unless_taken(update.await)?)
    }

    async fn delete(&self, organization: OrganizationId, act: &Act) -> Result<bool, Error> {
        Ok(self.delete_organization(organization, act).await?)
    }

    async fn find_deleted(&self, organization: OrganizationId) -> Result<Option<DeletedOrganization>, Outage> {
        let row = organization::Entity::find_by_id(organization.uuid())
            .filter(organization::Column::DeletedAt.is_not_null())
            .one(&self.pools.read)
            .await
            .map_err(Failure::from)?;
        let Some(row) = row else { return Ok(None) };
        let organization = convert::organization(&row).map_err(Failure::from)?;
        Ok(Some(DeletedOrganization { organization, keys_left: convert::count(row.key_count).unwrap_or_default() }))
    }
}

/// The organization, unless it is deleted.
pub(crate) fn find_live(organization: OrganizationId) -> Select<organization::Entity> {
    organization::Entity::find_by_id(organization.uuid()).filter(organization::Column::DeletedAt.is_null())
}

async fn find<C: ConnectionTrait>(db: &C, organization: OrganizationId) -> Result<Option<Organization>, Failure> {
    let row = find_live(organization).one(db).await?;
    Ok(row.as_ref().map(convert::organization).transpose()?)
}

/// The organization's row, locked until the transaction ends: changes of its members, sets and number of keys take turns.
/// Not as for a removal, because rows that refer to it may be made meanwhile.
pub(crate) async fn lock<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
) -> Result<organization::Model, Failure> {
    let row = find_live(organization).lock(LockType::NoKeyUpdate).one(db).await?;
    there(row)
}

impl DefaultCaps {
    /// The most that an organization may have.
    pub(crate) fn most(self, row: &organization::Model, what: Capped) -> u64 {
        let (own, default) = match what {
            Capped::Keys => (row.most_keys, self.keys),
            Capped::Members => (row.most_members, self.members),
            Capped::Sets => (row.most_sets, self.sets),
        };
        own.and_then(convert::count).unwrap_or(default)
    }

    /// Refuses where an organization has as many as it may have.
    pub(crate) fn require_room(self, row: &organization::Model, what: Capped, count: u64) -> Result<(), Failure> {
        if count < self.most(row, what) { Ok(()) } else { Err(Failure::Refused(Error::CapReached(what))) }
    }
}

/// Counts new keys of an organization, which are stored already, if it may have them.
pub(crate) async fn add_keys<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    count: usize,
    caps: DefaultCaps,
) -> Result<(), Failure> {
    let count = i64::try_from(count).expect("a few thousand at once");
    let (keys, most) = (Expr::col(organization::Column::KeyCount), Expr::col(organization::Column::MostKeys));
    let updated = organization::Entity::update_many()
        .col_expr(organization::Column::KeyCount, keys.clone().add(count))
        .filter(organization::Column::Id.eq(organization.uuid()))
        .filter(organization::Column::DeletedAt.is_null())
        .filter(keys.add(count).lte(most.if_null(convert::number(caps.keys))))
        .exec(db)
        .await?;
    if updated.rows_affected == 1 {
        return Ok(());
    }
    // Before a "no" they are counted: a version that did not count along may have removed some.
    let row = lock(db, organization).await?;
    let of_it = in_reach(Reach::whole(organization));
    let stored = api_key::Entity::find().filter(of_it).count(db).await?;
    if stored > caps.most(&row, Capped::Keys) {
        return Err(Failure::Refused(Error::CapReached(Capped::Keys)));
    }
    organization::Entity::update_many()
        .col_expr(organization::Column::KeyCount, Expr::value(convert::number(stored)))
        .filter(organization::Column::Id.eq(organization.uuid()))
        .exec(db)
        .await?;
    Ok(())
}

/// Counts keys of an organization that were made or, below zero, have gone, whatever it may have.
pub(crate) async fn count_keys<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    count: i64,
) -> Result<(), Failure> {
    organization::Entity::update_many()
        .col_expr(organization::Column::KeyCount, Expr::col(organization::Column::KeyCount).add(count))
        .filter(organization::Column::Id.eq(organization.uuid()))
        .exec(db)
        .await?;
    Ok(())
}

/// A broken uniqueness rule is a name that is taken: all identifiers are new.
pub(crate) fn unless_taken<T>(outcome: Result<T, Failure>) -> Result<T, Failure> {
    outcome.map_err(|failure| if failure.is_conflict() { Failure::Refused(Error::NameTaken) } else { failure })
}
