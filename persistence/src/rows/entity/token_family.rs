//! A row of `token_families`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "token_families")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub secret_hash: Vec<u8>,
    /// BLAKE3 of `permissions`, which are too long for an index.
    pub permissions_hash: Vec<u8>,
    pub organization_id: Uuid,
    /// Null in rows of older versions, and in those of trust rules.
    pub api_key_id: Option<Uuid>,
    /// The trust rule that issues the tokens. Null: they are issued for a key.
    pub trust_rule_id: Option<Uuid>,
    /// Flat forms, sorted, separated by spaces.
    pub permissions: String,
    pub expires_at: i64,
}

impl ActiveModelBehavior for ActiveModel {}
