//! Open invitations and recovery links. A redeemed or revoked link has no row: the audit log has what happened to it.

use async_trait::async_trait;
use domain::{
    Error, Outage,
    audit::context::AuditContext,
    auth::invitation::{Invitation, InvitationTokenHash},
    clock::Timestamp,
    error::Capped,
    id::{Identity, InvitationId, OrganizationId, UserId},
    ports::{Invitations, NewUser},
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
    Select,
    prelude::Uuid,
    sea_query::{ExprTrait, SimpleExpr},
};

use crate::{
    database::{Database, batches::first_ids},
    db::error::DbFailure,
    organizations::{external_identities, lock, members, permission_sets},
    rows::{
        convert,
        entity::{
            invitation::{self, Column},
            organization, session,
        },
    },
};

#[async_trait]
impl Invitations for Database {
    async fn create(
        &self,
        invitation: &Invitation,
        token: &InvitationTokenHash,
        context: &AuditContext,
    ) -> Result<(), Error> {
        let (invitation, row, context) =
            (invitation.clone(), convert::invitation_row(invitation, token), context.clone());
        let (caps, expired) = (self.caps, self.is_expired(context.at));
        let create = self.transaction(move |transaction, changed| {
            let (invitation, row, context, expired) =
                (invitation.clone(), row.clone(), context.clone(), expired.clone());
            Box::pin(async move {
                let organization = invitation.organization;
                let organization_row = lock(transaction, organization).await?;
                remove(transaction, in_organization(organization).and(expired)).await?;
                if let Some(user) = invitation.user {
                    if members::of(organization, user).one(transaction).await?.is_none() {
                        return Err(DbFailure::Refused(Error::NotFound));
                    }
                    remove(transaction, Column::UserId.eq(user.uuid())).await?;
                }
                let open = invitation::Entity::find().filter(in_organization(organization)).count(transaction).await?;
                caps.require_room(&organization_row, Capped::Invitations, open)?;
                invitation::Entity::insert(row).exec_without_returning(transaction).await?;
                changed.log.record_within(&context, &[target(&invitation)], caps.changes);
                changed.log.record_idempotency_key(&context);
                Ok(())
            })
        });
        Ok(create.await?)
    }

    async fn list(
        &self,
        organization: OrganizationId,
        after: Option<InvitationId>,
        limit: u64,
        now: Timestamp,
    ) -> Result<Vec<Invitation>, Outage> {
        let rows = open(organization, now)
            .apply_if(after, |find, after| find.filter(Column::Id.gt(after.uuid())))
            .order_by_asc(Column::Id)
            .limit(limit)
            .all(&self.pools.read)
            .await
            .map_err(DbFailure::from)?;
        Ok(rows.into_iter().map(convert::invitation).collect::<Result<_, _>>().map_err(DbFailure::from)?)
    }

    async fn find(
        &self,
        organization: OrganizationId,
        invitation: InvitationId,
        now: Timestamp,
    ) -> Result<Option<Invitation>, Outage> {
        let find = open(organization, now).filter(Column::Id.eq(invitation.uuid()));
        let row = find.one(&self.pools.read).await.map_err(DbFailure::from)?;
        Ok(row.map(convert::invitation).transpose().map_err(DbFailure::from)?)
    }

    async fn find_by_token(&self, token: &InvitationTokenHash) -> Result<Option<Invitation>, Outage> {
        let find = invitation::Entity::find().filter(Column::TokenHash.eq(token.bytes().to_vec()));
        let row = find.one(&self.pools.verification).await.map_err(DbFailure::from)?;
        Ok(row.map(convert::invitation).transpose().map_err(DbFailure::from)?)
    }

    async fn revoke(&self, invitation: &Invitation, context: &AuditContext) -> Result<(), Error> {
        let (id, target, context) = (invitation.id, target(invitation), context.clone());
        let revoke = self.transaction(move |transaction, changed| {
            let context = context.clone();
            Box::pin(async move {
                if remove(transaction, Column::Id.eq(id.uuid())).await? == 0 {
                    return Err(DbFailure::Refused(Error::NotFound));
                }
                changed.log.record(&context, &[target]);
                Ok(())
            })
        });
        Ok(revoke.await?)
    }

    async fn redeem(
        &self,
        invitation: &Invitation,
        new: NewUser,
        context: &AuditContext,
        added: &AuditContext,
    ) -> Result<(), Error> {
        let (invitation, caps) = (invitation.clone(), self.caps);
        let (context, added) = (context.clone(), added.clone());
        let redeem = self.transaction(move |transaction, changed| {
            let (invitation, mut new, context, added) =
                (invitation.clone(), new.clone(), context.clone(), added.clone());
            let user = new.user.id;
            changed.cached.members.push((invitation.organization, user));
            Box::pin(async move {
                let organization_row = take(transaction, &invitation).await?;
                let sets = permission_sets::find_many(transaction, invitation.organization, &new.user.sets).await?;
                new.user.sets.retain(|set| sets.iter().any(|found| found.id == *set));
                members::insert(transaction, &organization_row, &new, caps).await?;
                changed.log.record_within(&context, &[target(&invitation)], caps.changes);
                changed.log.record_within(&added, &[user.uuid()], caps.changes);
                Ok(())
            })
        });
        Ok(redeem.await?)
    }

    async fn recover(&self, invitation: &Invitation, identity: &Identity, context: &AuditContext) -> Result<(), Error> {
        let Some(user) = invitation.user else { return Err(Error::InvitationNotFound) };
        let (invitation, identity, context) = (invitation.clone(), identity.clone(), context.clone());
        let max_changes = self.caps.changes;
        let recover = self.transaction(move |transaction, changed| {
            let (invitation, identity, context) = (invitation.clone(), identity.clone(), context.clone());
            Box::pin(async move {
                let organization = invitation.organization;
                take(transaction, &invitation).await?;
                external_identities::recover(transaction, &identity, organization, user, context.at).await?;
                let sessions = session::Column::UserId.eq(user.uuid());
                session::Entity::delete_many().filter(sessions).exec(transaction).await?;
                changed.log.record_within(&context, &[user.uuid()], max_changes);
                Ok(())
            })
        });
        Ok(recover.await?)
    }
}

impl Database {
    /// Removes expired invitations and recovery links, in batches. Returns how many.
    pub(crate) async fn remove_expired_invitations(&self, now: Timestamp) -> Result<u64, DbFailure> {
        let expired = Column::ExpiresAt.lte(now.millis());
        let batch = async |size| {
            let ids = first_ids(Column::Id, expired.clone(), Column::ExpiresAt, size);
            let remove = invitation::Entity::delete_many().filter(Column::Id.in_subquery(ids));
            Ok(remove.exec(&self.pools.write).await?.rows_affected)
        };
        self.in_batches(batch).await
    }

    /// Whether a row has expired, by the clock of this process and by that of the database.
    fn is_expired(&self, now: Timestamp) -> SimpleExpr {
        Column::ExpiresAt.into_expr().lte(self.clocks.no_later_than_database(now, 0))
    }
}

/// The target of audit events: the invitation, or the member of a recovery link.
fn target(invitation: &Invitation) -> Uuid {
    invitation.user.map_or(invitation.id.uuid(), UserId::uuid)
}

/// Takes a link that is being redeemed: locks the row of its organization, and deletes the link. One transaction succeeds.
async fn take<C: ConnectionTrait>(db: &C, invitation: &Invitation) -> Result<organization::Model, DbFailure> {
    let organization_row = match lock(db, invitation.organization).await {
        Err(DbFailure::Refused(Error::NotFound)) => return Err(DbFailure::Refused(Error::InvitationNotFound)),
        locked => locked?,
    };
    if remove(db, Column::Id.eq(invitation.id.uuid())).await? == 0 {
        return Err(DbFailure::Refused(Error::InvitationNotFound));
    }
    Ok(organization_row)
}

fn in_organization(organization: OrganizationId) -> SimpleExpr {
    Column::OrganizationId.eq(organization.uuid())
}

/// A query of the links of an organization that have not expired.
fn open(organization: OrganizationId, now: Timestamp) -> Select<invitation::Entity> {
    invitation::Entity::find().filter(in_organization(organization)).filter(Column::ExpiresAt.gt(now.millis()))
}

/// Deletes the links with `which`: an organization has few. Returns how many.
async fn remove<C: ConnectionTrait>(db: &C, which: SimpleExpr) -> Result<u64, DbFailure> {
    Ok(invitation::Entity::delete_many().filter(which).exec(db).await?.rows_affected)
}
