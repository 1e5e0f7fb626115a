//! Deletes organizations (soft delete) and restores them. A deleted organization is unknown at once, and can be restored until its
//! retention period has passed. Then [`crate::organizations::removal`] removes its rows.

use domain::{
    Error, Outage,
    audit::context::AuditContext,
    auth::session::SessionsOf,
    clock::Timestamp,
    id::OrganizationId,
    organizations::{
        organization::{DeletedOrganization, Deletion, Organization},
        totals::OrganizationFilter,
        user::UserOrigin,
    },
};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
    prelude::Uuid,
    sea_query::{Expr, ExprTrait, LockBehavior, LockType},
};

use crate::{
    database::Database,
    db::error::DbFailure,
    identity::portal_sessions,
    organizations::{self, removal::MAX_BATCHES_IN_REQUEST, search},
    rows::{
        convert,
        entity::{organization, user},
    },
};

/// Deleted organizations whose removal has not begun.
fn restorable() -> Condition {
    Condition::all()
        .add(organization::Column::DeletedAt.is_not_null())
        .add(organization::Column::RemovalBeganAt.is_null())
}

impl Database {
    /// Deletes an organization: marks it, and deletes the sessions that were opened in it and its portal sessions. With a retention period of zero its rows are
    /// removed as far as there is time.
    pub(crate) async fn delete_organization(
        &self,
        organization: OrganizationId,
        context: &AuditContext,
    ) -> Result<Deletion, DbFailure> {
        let (kept, context) = (self.retention.deleted_organizations, context.clone());
        // The clock by which the retention period is computed.
        let at = self.clocks.database_time_or(context.at);
        let mark = self.transaction(move |transaction, changed| {
            let (context, at) = (context.clone(), at.clone());
            changed.cached.organizations.push(organization);
            Box::pin(async move {
                let this = organization::Column::Id.eq(organization.uuid());
                let column = |column: organization::Column| Expr::col(column);
                let mut mark = organization::Entity::update_many()
                    .col_expr(organization::Column::DeletedAt, at.clone())
                    .col_expr(organization::Column::DeletedSuspendedAt, column(organization::Column::SuspendedAt))
                    // Older versions do not know the mark, but refuse the keys of a suspended organization.
                    .col_expr(
                        organization::Column::SuspendedAt,
                        column(organization::Column::SuspendedAt).if_null(at.clone()),
                    )
                    .col_expr(organization::Column::DeletedExternalId, column(organization::Column::ExternalId))
                    .col_expr(organization::Column::ExternalId, Expr::value(Option::<String>::None));
                if kept.is_zero() {
                    mark = mark.col_expr(organization::Column::RemovalBeganAt, at);
                }
                let live = organization::Column::DeletedAt.is_null();
                if mark.filter(this.clone()).filter(live).exec(transaction).await?.rows_affected == 0 {
                    return Err(DbFailure::Refused(Error::NotFound));
                }
                // Users who signed up with it may sign up again.
                user::Entity::update_many()
                    .col_expr(user::Column::Origin, Expr::value(UserOrigin::Invited.code()))
                    .filter(user::Column::OrganizationId.eq(organization.uuid()))
                    .filter(user::Column::Origin.eq(UserOrigin::SignUp.code()))
                    .exec(transaction)
                    .await?;
                portal_sessions::remove_of(transaction, organization).await?;
                changed.log.record(&context, &[organization.uuid()]);
                let deleted_at: Option<Option<i64>> = organization::Entity::find()
                    .select_only()
                    .column(organization::Column::DeletedAt)
                    .filter(this)
                    .into_tuple()
                    .one(transaction)
                    .await?;
                Ok(deleted_at.flatten().unwrap_or(context.at.millis()))
            })
        });
        let deleted_at = mark.await?;
        // A failure does no harm: the sessions of its keys are refused already, and restoring the organization deletes them.
        self.end_sessions(SessionsOf::Organization(organization), None, None).await.unwrap_or_else(|failure| {
            let error = Outage::from(failure);
            tracing::warn!(target: "claviger", %error, "ending the sessions of a deleted organization failed");
            0
        });
        if !kept.is_zero() {
            return Ok(Deletion::Kept(self.restorable_until(deleted_at)));
        }
        let is_removed = self.remove_organization(organization, MAX_BATCHES_IN_REQUEST).await.unwrap_or_else(|failure| {
            // The organization is deleted all the same.
            let error = Outage::from(failure);
            tracing::warn!(target: "claviger", %error, "removing the data of a deleted organization failed; retrying");
            false
        });
        if is_removed {
            return Ok(Deletion::Removed);
        }
        self.removals.notify_one();
        Ok(Deletion::Removing)
    }

    /// Restores a deleted organization whose removal has not begun. Does nothing if it is not deleted.
    pub(crate) async fn restore_organization(
        &self,
        organization: OrganizationId,
        context: &AuditContext,
    ) -> Result<Organization, DbFailure> {
        let context = context.clone();
        if let Some(live) = organizations::find(&self.pools.read, organization).await? {
            return Ok(live);
        }
        // Before the organization is restored, because with its keys its sessions would be valid again.
        self.end_sessions(SessionsOf::Organization(organization), None, None).await?;
        let restore = self.transaction(move |transaction, changed| {
            let context = context.clone();
            changed.cached.organizations.push(organization);
            Box::pin(async move {
                let column = |column: organization::Column| Expr::col(column);
                let nothing = || Expr::value(Option::<i64>::None);
                let restored = organization::Entity::update_many()
                    .col_expr(organization::Column::DeletedAt, nothing())
                    .col_expr(organization::Column::SuspendedAt, column(organization::Column::DeletedSuspendedAt))
                    .col_expr(organization::Column::DeletedSuspendedAt, nothing())
                    .col_expr(organization::Column::ExternalId, column(organization::Column::DeletedExternalId))
                    .col_expr(organization::Column::DeletedExternalId, Expr::value(Option::<String>::None))
                    .filter(organization::Column::Id.eq(organization.uuid()))
                    .filter(restorable())
                    .exec(transaction)
                    .await?;
                // Another request may have restored it at the same moment.
                if restored.rows_affected > 0 {
                    changed.log.record(&context, &[organization.uuid()]);
                }
                crate::db::error::or_not_found(organizations::find(transaction, organization).await?)
            })
        });
        organizations::unless_taken(restore.await, Error::ExternalIdTaken)
    }

    /// The organization with this id, if it is deleted and its row is not removed yet.
    pub(crate) async fn deleted_organization(
        &self,
        organization: OrganizationId,
    ) -> Result<Option<DeletedOrganization>, DbFailure> {
        let row = organization::Entity::find_by_id(organization.uuid())
            .filter(organization::Column::DeletedAt.is_not_null())
            .one(&self.pools.read)
            .await?;
        row.map(|row| self.deleted(row)).transpose()
    }

    /// Deleted organizations whose rows are not removed yet, in the order of their ids.
    pub(crate) async fn deleted_organizations(
        &self,
        filter: &OrganizationFilter,
        after: Option<OrganizationId>,
        limit: u64,
    ) -> Result<Vec<DeletedOrganization>, DbFailure> {
        let external_id = filter.external_id.as_ref();
        let deleted = organization::Entity::find()
            .filter(organization::Column::DeletedAt.is_not_null())
            .apply_if(external_id, |find, id| find.filter(organization::Column::DeletedExternalId.eq(id.as_str())));
        let rows = search::page(&self.pools.read, deleted, filter.name.as_deref(), after, limit).await?;
        rows.into_iter().map(|row| self.deleted(row)).collect()
    }

    fn deleted(&self, mut row: organization::Model) -> Result<DeletedOrganization, DbFailure> {
        row.external_id = row.deleted_external_id.take();
        row.suspended_at = row.deleted_suspended_at.take();
        let keys_left = convert::count(row.key_count).unwrap_or_default();
        let is_kept = row.removal_began_at.is_none();
        let restorable_until = row.deleted_at.filter(|_| is_kept).map(|at| self.restorable_until(at));
        Ok(DeletedOrganization { organization: convert::organization(&row)?, restorable_until, keys_left })
    }

    fn restorable_until(&self, deleted_at: i64) -> Timestamp {
        let kept = i64::try_from(self.retention.deleted_organizations.as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_millis(deleted_at).plus_millis(kept)
    }

    /// Begins the removal of organizations that were deleted until `before` (milliseconds since the Unix epoch), in batches. Returns how
    /// many.
    pub(crate) async fn begin_removals(&self, before: i64) -> Result<u64, DbFailure> {
        let due = organization::Column::DeletedAt.lte(before);
        let begun =
            self.in_batches(async |size| self.begin_some_removals(Condition::all().add(due.clone()), size).await);
        let begun = begun.await?;
        if begun > 0 {
            self.removals.notify_one();
        }
        Ok(begun)
    }

    /// Begins the removal of the oldest deleted organizations, if more of them are kept than the limit allows: at most 500 at a time.
    pub(crate) async fn bound_deleted_organizations(&self) -> Result<(), DbFailure> {
        const MAX_AT_ONCE: u64 = 500;
        let surplus: Vec<Uuid> = organization::Entity::find()
            .select_only()
            .column(organization::Column::Id)
            .filter(restorable())
            .order_by_desc(organization::Column::DeletedAt)
            .offset(self.bounds.deleted_organizations)
            .limit(MAX_AT_ONCE)
            .into_tuple()
            .all(&self.pools.read)
            .await?;
        if surplus.is_empty() {
            return Ok(());
        }
        let these = Condition::all().add(organization::Column::Id.is_in(surplus));
        let begun = self.begin_some_removals(these, MAX_AT_ONCE).await?;
        tracing::warn!(target: "claviger", organizations = begun,
            "removing the oldest deleted organizations early: the maximum number of deleted organizations is exceeded");
        self.removals.notify_one();
        Ok(())
    }

    /// Begins the removal of at most `size` restorable organizations with `which`. Returns how many.
    async fn begin_some_removals(&self, which: Condition, size: u64) -> Result<u64, DbFailure> {
        let now = self.clocks.database_time_or(self.clocks.node_now());
        let begin = self.transaction(move |transaction, _| {
            let (which, now) = (which.clone(), now.clone());
            Box::pin(async move {
                let ids = lock_restorable(transaction, which, size).await?;
                let begun = organization::Entity::update_many()
                    .col_expr(organization::Column::RemovalBeganAt, now)
                    .filter(organization::Column::Id.is_in(ids))
                    .exec(transaction)
                    .await?;
                Ok(begun.rows_affected)
            })
        });
        begin.await
    }
}

/// Locks restorable organizations with `which`, those that were deleted first, and skips those that another node has locked.
async fn lock_restorable<C: ConnectionTrait>(db: &C, which: Condition, size: u64) -> Result<Vec<Uuid>, DbFailure> {
    let ids = organization::Entity::find()
        .select_only()
        .column(organization::Column::Id)
        .filter(which)
        .filter(restorable())
        .order_by_asc(organization::Column::DeletedAt)
        .limit(size)
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .into_tuple()
        .all(db)
        .await?;
    Ok(ids)
}
