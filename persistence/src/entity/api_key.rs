//! A row of `api_keys`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "api_keys")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub organization_id: Uuid,
    pub user_id: Option<Uuid>,
    pub name: Option<String>,
    pub prefix: String,
    pub start: String,
    pub enabled: bool,
    pub expires_at: Option<i64>,
    /// Compact JSON.
    pub metadata: Option<String>,
    /// Flat forms, separated by spaces.
    pub permissions: String,
    /// At most one of the two; neither where the operator made the key.
    pub created_by_key: Option<Uuid>,
    pub created_by_user: Option<Uuid>,
    pub created_at: i64,
    pub updated_at: i64,
    pub remaining: Option<i64>,
    /// The three parts of a refill come and go together.
    pub refill_amount: Option<i64>,
    pub refill_interval: Option<i64>,
    pub refill_since: Option<i64>,
    pub last_refill_at: Option<i64>,
    /// As do the two of a rate limit.
    pub rate_limit_max: Option<i64>,
    pub rate_limit_window: Option<i64>,
    pub window_start: Option<i64>,
    pub window_count: i64,
    pub request_count: i64,
    pub last_request_at: Option<i64>,
    /// Counts changes of the settings.
    pub version: i64,
    pub external_id: Option<String>,
    pub not_before: Option<i64>,
    /// Networks, separated by spaces.
    pub allowed_addresses: Option<String>,
    /// When it was deleted; it is kept for a while.
    pub deleted_at: Option<i64>,
}

impl ActiveModelBehavior for ActiveModel {}
