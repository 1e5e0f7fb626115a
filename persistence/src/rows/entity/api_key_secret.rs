//! A row of `api_key_secrets`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "api_key_secrets")]
pub struct Model {
    /// See `domain::keys::secret::SecretHash`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub hash: Vec<u8>,
    pub api_key_id: Uuid,
    pub created_at: i64,
    pub expires_at: Option<i64>,
    /// Prefix and first characters; null in rows of older versions.
    pub start: Option<String>,
    /// Only recorded for a previous secret that is still valid.
    pub last_request_at: Option<i64>,
    /// Whether it was not used yet. Only known of secrets that a rotation has stored beside a previous one.
    pub is_unused: bool,
}

impl ActiveModelBehavior for ActiveModel {}
