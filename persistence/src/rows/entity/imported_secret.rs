//! A row of `imported_secrets`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "imported_secrets")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: Uuid,
    /// See `domain::keys::secret::LegacyHash`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub hash: Vec<u8>,
    pub api_key_id: Uuid,
    /// The first characters of the secret.
    pub start: String,
    pub imported_at: i64,
    /// When it was used first; since then it has a row in `api_key_secrets`.
    pub adopted_at: Option<i64>,
    /// Its expiry, if its key was rotated before it was used.
    pub expires_at: Option<i64>,
}

impl ActiveModelBehavior for ActiveModel {}
