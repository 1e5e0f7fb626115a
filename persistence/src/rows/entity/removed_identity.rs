//! A row of `removed_identities`: an identity that was removed from an organization and is not provisioned there again.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "removed_identities")]
pub struct Model {
    /// BLAKE3 of issuer and subject.
    #[sea_orm(primary_key, auto_increment = false)]
    pub identity_hash: Vec<u8>,
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: Uuid,
    pub removed_at: i64,
}

impl ActiveModelBehavior for ActiveModel {}
