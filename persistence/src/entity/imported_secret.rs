//! A row of `imported_secrets`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "imported_secrets")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: Uuid,
    /// See `domain::secret::OldHash`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub hash: Vec<u8>,
    pub api_key_id: Uuid,
    /// What its text begins with.
    pub start: String,
    pub imported_at: i64,
    /// Since when it is found by our own hash.
    pub adopted_at: Option<i64>,
    /// When it ends, where its key was rotated before it was shown.
    pub expires_at: Option<i64>,
}

impl ActiveModelBehavior for ActiveModel {}
