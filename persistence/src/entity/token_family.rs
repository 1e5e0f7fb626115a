//! A row of `token_families`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "token_families")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub secret_hash: Vec<u8>,
    /// BLAKE3 of the next one: an index has no room for that.
    pub permissions_hash: Vec<u8>,
    pub organization_id: Uuid,
    /// A row of an older version has none.
    pub api_key_id: Option<Uuid>,
    /// Flat forms in their order, separated by spaces.
    pub permissions: String,
    pub expires_at: i64,
}

impl ActiveModelBehavior for ActiveModel {}
