//! A row of `portal_sessions`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "portal_sessions")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub organization_id: Uuid,
    /// SHA-256 of the secret of the link; null if the link was opened.
    #[sea_orm(unique)]
    pub link_hash: Option<Vec<u8>>,
    /// SHA-256 of the token; null if the link was not opened yet.
    #[sea_orm(unique)]
    pub token_hash: Option<Vec<u8>>,
    /// The customer: one of these two is set.
    pub external_id: Option<String>,
    pub user_id: Option<Uuid>,
    /// Codes, separated by spaces.
    pub actions: String,
    /// Flat forms, separated by spaces.
    pub permissions: String,
    pub max_keys: i64,
    /// In milliseconds.
    pub max_lifetime: Option<i64>,
    pub rate_limit_max: Option<i64>,
    pub rate_limit_window: Option<i64>,
    pub remaining: Option<i64>,
    pub prefix: Option<String>,
    pub return_url: Option<String>,
    pub theme: String,
    /// The hash of the secret that created it.
    pub creator_hash: Vec<u8>,
    pub created_by_key: Uuid,
    pub created_at: i64,
    pub expires_at: i64,
}

impl ActiveModelBehavior for ActiveModel {}
