//! Ends portal sessions with the secrets that created them, and with their organization. `crate::organizations::portal` has the
//! rest.

use domain::{id::OrganizationId, keys::secret::SecretHash};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};

use crate::{
    db::message_size::MAX_HASHES_PER_STATEMENT,
    rows::entity::portal::session::{self as portal_session, Column},
};

/// Deletes the portal sessions that these secrets created; part of a transaction.
pub(crate) async fn remove_created_with<C: ConnectionTrait>(db: &C, secrets: &[SecretHash]) -> Result<(), DbErr> {
    for secrets in secrets.chunks(MAX_HASHES_PER_STATEMENT) {
        let created = Column::CreatorHash.is_in(secrets.iter().map(|secret| secret.bytes().to_vec()));
        portal_session::Entity::delete_many().filter(created).exec(db).await?;
    }
    Ok(())
}

/// Deletes the portal sessions of an organization that is deleted; part of a transaction.
pub(crate) async fn remove_of<C: ConnectionTrait>(db: &C, organization: OrganizationId) -> Result<(), DbErr> {
    portal_session::Entity::delete_many().filter(Column::OrganizationId.eq(organization.uuid())).exec(db).await?;
    Ok(())
}
