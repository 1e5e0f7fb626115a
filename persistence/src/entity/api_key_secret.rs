//! A row of `api_key_secrets`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "api_key_secrets")]
pub struct Model {
    /// See `domain::secret::SecretHash`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub hash: Vec<u8>,
    pub api_key_id: Uuid,
    pub created_at: i64,
    pub expires_at: Option<i64>,
    /// Prefix and first characters; a row of an older version has none.
    pub start: Option<String>,
    /// Written for a secret that is being replaced.
    pub last_request_at: Option<i64>,
}

impl ActiveModelBehavior for ActiveModel {}
