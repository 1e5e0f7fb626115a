//! The settings and sessions of the customers' portal. A session that was ended or has expired has no row: the audit log has what
//! happened to it.

use async_trait::async_trait;
use domain::{
    Error, Outage,
    audit::context::AuditContext,
    auth::portal::{
        session::{PortalSession, PortalSubject},
        settings::{PortalSettings, PortalSettingsPatch},
        token::PortalSecretHash,
        web_address::EmbeddingOrigin,
    },
    clock::Timestamp,
    error::Capped,
    id::{ExternalId, OrganizationId, PortalSessionId},
    ports::Portals,
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
    QueryTrait, Select, prelude::Uuid, sea_query::OnConflict,
};

use crate::{
    database::{Database, batches::first_ids},
    db::error::DbFailure,
    organizations::{self, lock, members},
    rows::{
        convert,
        entity::portal::{
            session::{self as portal_session, Column},
            settings as portal_settings,
        },
    },
};

/// The settings of the portal of an organization; the default ones if it has stored none.
async fn settings_of<C: ConnectionTrait>(db: &C, organization: Uuid) -> Result<PortalSettings, DbFailure> {
    let row = portal_settings::Entity::find_by_id(organization).one(db).await?;
    Ok(row.as_ref().map(convert::portal_settings).transpose()?.unwrap_or_default())
}

/// The sessions of an organization that have not expired.
fn open(organization: OrganizationId, now: Timestamp) -> Select<portal_session::Entity> {
    let of_it = Column::OrganizationId.eq(organization.uuid());
    portal_session::Entity::find().filter(of_it).filter(Column::ExpiresAt.gt(now.millis()))
}

#[async_trait]
impl Portals for Database {
    async fn settings(&self, organization: OrganizationId) -> Result<PortalSettings, Outage> {
        Ok(settings_of(&self.pools.read, organization.uuid()).await?)
    }

    async fn update_settings(
        &self,
        organization: OrganizationId,
        patch: &PortalSettingsPatch,
        context: &AuditContext,
    ) -> Result<PortalSettings, Error> {
        let (patch, context) = (patch.clone(), context.clone());
        let max_changes = self.caps.changes;
        let store = self.transaction(move |transaction, changed| {
            let (patch, context) = (patch.clone(), context.clone());
            Box::pin(async move {
                lock(transaction, organization).await?;
                let settings = patch.apply(settings_of(transaction, organization.uuid()).await?);
                let row = convert::portal_settings_row(organization, &settings);
                let replace = OnConflict::column(portal_settings::Column::OrganizationId)
                    .update_columns([
                        portal_settings::Column::Name,
                        portal_settings::Column::Color,
                        portal_settings::Column::Logo,
                        portal_settings::Column::Origins,
                    ])
                    .to_owned();
                portal_settings::Entity::insert(row).on_conflict(replace).exec_without_returning(transaction).await?;
                changed.log.record_within(&context, &[organization.uuid()], max_changes);
                Ok(settings)
            })
        });
        Ok(store.await?)
    }

    async fn embedding_origins(&self, session: PortalSessionId) -> Result<Vec<EmbeddingOrigin>, Outage> {
        let read = async {
            let db = &self.pools.read;
            let Some(row) = portal_session::Entity::find_by_id(session.uuid()).one(db).await? else {
                return Ok(Vec::new());
            };
            let organization = organizations::find(db, OrganizationId::from_uuid(row.organization_id)).await?;
            if organization.is_none_or(|organization| organization.suspended_at.is_some()) {
                return Ok(Vec::new());
            }
            Ok::<_, DbFailure>(settings_of(db, row.organization_id).await?.origins)
        };
        Ok(read.await?)
    }

    async fn create(
        &self,
        session: &PortalSession,
        link: &PortalSecretHash,
        context: &AuditContext,
    ) -> Result<(), Error> {
        let (session, row, context) = (session.clone(), convert::portal_session_row(session, link), context.clone());
        let caps = self.caps;
        let create = self.transaction(move |transaction, changed| {
            let (session, row, context) = (session.clone(), row.clone(), context.clone());
            Box::pin(async move {
                let organization = session.organization;
                let organization_row = lock(transaction, organization).await?;
                if let PortalSubject::User(user) = session.subject
                    && members::of(organization, user).one(transaction).await?.is_none()
                {
                    return Err(DbFailure::Refused(Error::UserNotFound));
                }
                let count = open(organization, context.at).count(transaction).await?;
                caps.require_room(&organization_row, Capped::PortalSessions, count)?;
                portal_session::Entity::insert(row).exec_without_returning(transaction).await?;
                changed.log.record_within(&context, &[session.id.uuid()], caps.changes);
                changed.log.record_idempotency_key(&context);
                Ok(())
            })
        });
        Ok(create.await?)
    }

    async fn find_by_link(&self, link: &PortalSecretHash) -> Result<Option<PortalSession>, Outage> {
        Ok(self.find_portal_session(Column::LinkHash, link).await?)
    }

    async fn find_by_token(&self, token: &PortalSecretHash) -> Result<Option<PortalSession>, Outage> {
        Ok(self.find_portal_session(Column::TokenHash, token).await?)
    }

    async fn open(
        &self,
        session: PortalSessionId,
        token: &PortalSecretHash,
        expires_at: Timestamp,
        context: &AuditContext,
    ) -> Result<(), Error> {
        let (context, max_changes) = (context.clone(), self.caps.changes);
        let row = portal_session::ActiveModel {
            link_hash: Set(None),
            token_hash: Set(Some(token.bytes().to_vec())),
            expires_at: Set(expires_at.millis()),
            ..Default::default()
        };
        let open = self.transaction(move |transaction, changed| {
            let (row, context) = (row.clone(), context.clone());
            Box::pin(async move {
                let opened = portal_session::Entity::update_many()
                    .set(row)
                    .filter(Column::Id.eq(session.uuid()))
                    .filter(Column::LinkHash.is_not_null())
                    .exec(transaction)
                    .await?;
                if opened.rows_affected == 0 {
                    return Err(DbFailure::Refused(Error::PortalLinkNotFound));
                }
                changed.log.record_within(&context, &[session.uuid()], max_changes);
                Ok(())
            })
        });
        Ok(open.await?)
    }

    async fn list(
        &self,
        organization: OrganizationId,
        customer: Option<&ExternalId>,
        after: Option<PortalSessionId>,
        limit: u64,
        now: Timestamp,
    ) -> Result<Vec<PortalSession>, Outage> {
        let rows = open(organization, now)
            .apply_if(customer, |find, customer| find.filter(Column::ExternalId.eq(customer.as_str())))
            .apply_if(after, |find, after| find.filter(Column::Id.gt(after.uuid())))
            .order_by_asc(Column::Id)
            .limit(limit)
            .all(&self.pools.read)
            .await
            .map_err(DbFailure::from)?;
        Ok(rows.iter().map(convert::portal_session).collect::<Result<_, _>>().map_err(DbFailure::from)?)
    }

    async fn end(&self, session: PortalSessionId) -> Result<(), Outage> {
        let end = self.transaction(move |transaction, _| {
            Box::pin(async move {
                portal_session::Entity::delete_by_id(session.uuid()).exec(transaction).await?;
                Ok(())
            })
        });
        Ok(end.await?)
    }

    async fn delete(
        &self,
        organization: OrganizationId,
        session: PortalSessionId,
        context: &AuditContext,
    ) -> Result<bool, Outage> {
        let context = context.clone();
        let delete = self.transaction(move |transaction, changed| {
            let context = context.clone();
            Box::pin(async move {
                let deleted = portal_session::Entity::delete_many()
                    .filter(Column::Id.eq(session.uuid()))
                    .filter(Column::OrganizationId.eq(organization.uuid()))
                    .exec(transaction)
                    .await?;
                if deleted.rows_affected > 0 {
                    changed.log.record(&context, &[session.uuid()]);
                }
                Ok(deleted.rows_affected > 0)
            })
        });
        Ok(delete.await?)
    }
}

impl Database {
    async fn find_portal_session(
        &self,
        column: Column,
        hash: &PortalSecretHash,
    ) -> Result<Option<PortalSession>, DbFailure> {
        let find = portal_session::Entity::find().filter(column.eq(hash.bytes().to_vec()));
        let row = find.one(&self.pools.verification).await?;
        Ok(row.as_ref().map(convert::portal_session).transpose()?)
    }

    /// Removes expired portal sessions, in batches. Returns how many.
    pub(crate) async fn remove_expired_portal_sessions(&self, now: Timestamp) -> Result<u64, DbFailure> {
        let expired = Column::ExpiresAt.lte(now.millis());
        let batch = async |size| {
            let ids = first_ids(Column::Id, expired.clone(), Column::ExpiresAt, size);
            let remove = portal_session::Entity::delete_many().filter(Column::Id.in_subquery(ids));
            Ok(remove.exec(&self.pools.write).await?.rows_affected)
        };
        self.in_batches(batch).await
    }
}
