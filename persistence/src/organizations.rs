//! Organizations: their settings and caps.
pub(crate) mod deleted;
pub(crate) mod effective;
pub(crate) mod external_identities;
pub(crate) mod invitations;
pub(crate) mod key_policies;
pub(crate) mod last_admin;
pub(crate) mod members;
pub(crate) mod permission_sets;
pub(crate) mod portal;
pub(crate) mod removal;
pub(crate) mod search;
pub(crate) mod totals;
pub(crate) mod trust_rules;
pub(crate) mod user_removal;
pub(crate) mod widening;

use async_trait::async_trait;
use domain::{
    Error, Outage,
    audit::context::{Action, AuditContext},
    auth::{
        invitation::MAX_OPEN_INVITATIONS,
        portal::session::{MAX_KEYS_OF_CUSTOMER, MAX_PORTAL_SESSIONS},
    },
    error::Capped,
    id::OrganizationId,
    keys::{key_scope::KeyScope, policy::CheckedPolicies},
    organizations::{
        organization::{DeletedOrganization, Deletion, Organization},
        totals::{OrganizationFilter, ServiceTotals},
        trust_rule::MAX_TRUST_RULES,
    },
    ports::{OrganizationChanges, Organizations},
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QuerySelect, QueryTrait, Select,
    sea_query::{Expr, ExprTrait, LockType},
};

use crate::{
    database::Database,
    db::error::{DbFailure, or_not_found},
    rows::{
        convert,
        entity::{api_key, organization},
        scope::in_scope,
    },
    settings::DefaultCaps,
};

#[async_trait]
impl Organizations for Database {
    async fn list(
        &self,
        only: Option<OrganizationId>,
        filter: &OrganizationFilter,
        after: Option<OrganizationId>,
        limit: u64,
    ) -> Result<Vec<Organization>, Outage> {
        let live = organization::Entity::find()
            .filter(organization::Column::DeletedAt.is_null())
            .apply_if(only, |find, only| find.filter(organization::Column::Id.eq(only.uuid())))
            .apply_if(filter.external_id.as_ref(), |find, id| {
                find.filter(organization::Column::ExternalId.eq(id.as_str()))
            });
        let rows = search::page(&self.pools.read, live, filter.name.as_deref(), after, limit).await?;
        Ok(rows.iter().map(convert::organization).collect::<Result<_, _>>().map_err(DbFailure::from)?)
    }

    async fn find(&self, organization: OrganizationId) -> Result<Option<Organization>, Outage> {
        Ok(find(&self.pools.read, organization).await?)
    }

    async fn create(&self, organization: &Organization, context: &AuditContext) -> Result<(), Error> {
        let (id, row, context) = (organization.id, convert::organization_row(organization), context.clone());
        let caps = self.caps;
        let create = self.transaction(move |transaction, changed| {
            let (row, context) = (row.clone(), context.clone());
            Box::pin(async move {
                organization::Entity::insert(row).exec_without_returning(transaction).await?;
                changed.log.record_within(&context, &[id.uuid()], caps.changes);
                changed.log.record_idempotency_key(&context);
                Ok(())
            })
        });
        Ok(unless_taken(create.await, Error::ExternalIdTaken)?)
    }

    async fn update(
        &self,
        organization: OrganizationId,
        changes: OrganizationChanges,
        context: &AuditContext,
    ) -> Result<Organization, Error> {
        let (row, context) = (convert::organization_changes_row(&changes), context.clone());
        // Suspending is never rate limited.
        let max_changes = if context.action == Action::SuspendOrganization { u64::MAX } else { self.caps.changes };
        let changes_policy = !changes.key_policy.is_keep();
        let is_seen_by_keys = !changes.external_id.is_keep() || !changes.suspended_at.is_keep();
        let update = self.transaction(move |transaction, changed| {
            let (row, context) = (row.clone(), context.clone());
            if is_seen_by_keys {
                changed.cached.organizations.push(organization);
            }
            Box::pin(async move {
                let updated = organization::Entity::update_many()
                    .set(row)
                    .filter(organization::Column::Id.eq(organization.uuid()))
                    .filter(organization::Column::DeletedAt.is_null())
                    .exec(transaction)
                    .await?;
                if updated.rows_affected == 0 {
                    return Err(DbFailure::Refused(Error::NotFound));
                }
                // So that the log says when a key policy changed.
                let fields = if changes_policy { &["key_policy"][..] } else { &[] };
                changed.log.record_changed_fields(&context, organization.uuid(), fields, max_changes);
                or_not_found(find(transaction, organization).await?)
            })
        });
        Ok(unless_taken(update.await, Error::ExternalIdTaken)?)
    }

    async fn delete(&self, organization: OrganizationId, context: &AuditContext) -> Result<Deletion, Error> {
        Ok(self.delete_organization(organization, context).await?)
    }

    async fn restore(&self, organization: OrganizationId, context: &AuditContext) -> Result<Organization, Error> {
        Ok(self.restore_organization(organization, context).await?)
    }

    async fn list_deleted(
        &self,
        filter: &OrganizationFilter,
        after: Option<OrganizationId>,
        limit: u64,
    ) -> Result<Vec<DeletedOrganization>, Outage> {
        Ok(self.deleted_organizations(filter, after, limit).await?)
    }

    async fn totals(&self) -> Result<ServiceTotals, Outage> {
        Ok(self.service_totals().await?)
    }

    async fn find_deleted(&self, organization: OrganizationId) -> Result<Option<DeletedOrganization>, Outage> {
        Ok(self.deleted_organization(organization).await?)
    }
}

/// A query of the organization, unless it is deleted.
pub(crate) fn find_live(organization: OrganizationId) -> Select<organization::Entity> {
    organization::Entity::find_by_id(organization.uuid()).filter(organization::Column::DeletedAt.is_null())
}

pub(crate) async fn find<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
) -> Result<Option<Organization>, DbFailure> {
    let row = find_live(organization).one(db).await?;
    Ok(row.as_ref().map(convert::organization).transpose()?)
}

/// Locks the organization's row until the transaction ends, so that changes of its members, permission sets and number of keys are
/// serialized. `NO KEY UPDATE`: rows that refer to it may be inserted meanwhile.
pub(crate) async fn lock<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
) -> Result<organization::Model, DbFailure> {
    let row = find_live(organization).lock(LockType::NoKeyUpdate).one(db).await?;
    or_not_found(row)
}

impl DefaultCaps {
    /// The cap of an organization: its own, or the default.
    pub(crate) fn max(self, row: &organization::Model, what: Capped) -> u64 {
        let (own, default) = match what {
            Capped::Keys => (row.most_keys, self.keys),
            Capped::Members => (row.most_members, self.members),
            Capped::Sets => (row.most_sets, self.sets),
            Capped::Invitations => (None, MAX_OPEN_INVITATIONS),
            Capped::TrustRules => (None, MAX_TRUST_RULES),
            Capped::PortalSessions => (None, MAX_PORTAL_SESSIONS),
            // The portal session of the customer says how many.
            Capped::PortalKeys | Capped::PortalKeysOfHour => (None, MAX_KEYS_OF_CUSTOMER),
        };
        own.and_then(convert::count).unwrap_or(default)
    }

    /// Refuses if an organization that has `count` may not have one more.
    pub(crate) fn require_room(self, row: &organization::Model, what: Capped, count: u64) -> Result<(), DbFailure> {
        if count < self.max(row, what) { Ok(()) } else { Err(DbFailure::Refused(Error::CapReached(what))) }
    }
}

/// Counts keys of an organization that the transaction has stored, and refuses them if they exceed the cap, or if the
/// organization has another key policy than that in `checked`.
pub(crate) async fn add_keys<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    count: usize,
    checked: Option<&CheckedPolicies>,
    caps: DefaultCaps,
) -> Result<(), DbFailure> {
    let count = i64::try_from(count).expect("a few thousand at once");
    let (keys, cap) = (Expr::col(organization::Column::KeyCount), Expr::col(organization::Column::MostKeys));
    let updated = organization::Entity::update_many()
        .col_expr(organization::Column::KeyCount, keys.clone().add(count))
        .filter(organization::Column::Id.eq(organization.uuid()))
        .filter(organization::Column::DeletedAt.is_null())
        .filter(keys.add(count).lte(cap.if_null(convert::number(caps.keys))))
        .filter(key_policies::has_same_policy(checked))
        .exec(db)
        .await?;
    if updated.rows_affected == 1 {
        return Ok(());
    }
    let row = lock(db, organization).await?;
    key_policies::require_same_policy(&row, checked)?;
    // Counted again before they are refused: a version that did not maintain the count may have removed some.
    let of_it = in_scope(KeyScope::whole(organization));
    let stored = api_key::Entity::find().filter(of_it).count(db).await?;
    if stored > caps.max(&row, Capped::Keys) {
        return Err(DbFailure::Refused(Error::CapReached(Capped::Keys)));
    }
    organization::Entity::update_many()
        .col_expr(organization::Column::KeyCount, Expr::value(convert::number(stored)))
        .filter(organization::Column::Id.eq(organization.uuid()))
        .exec(db)
        .await?;
    Ok(())
}

/// Adds to the number of an organization's keys, regardless of its cap. Negative for deleted keys.
pub(crate) async fn count_keys<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    count: i64,
) -> Result<(), DbFailure> {
    organization::Entity::update_many()
        .col_expr(organization::Column::KeyCount, Expr::col(organization::Column::KeyCount).add(count))
        .filter(organization::Column::Id.eq(organization.uuid()))
        .exec(db)
        .await?;
    Ok(())
}

/// Reports a violated unique index as `taken`. It is the index of a name or external id: identifiers are random.
pub(crate) fn unless_taken<T>(outcome: Result<T, DbFailure>, taken: Error) -> Result<T, DbFailure> {
    outcome.map_err(|failure| if failure.is_conflict() { DbFailure::Refused(taken) } else { failure })
}
