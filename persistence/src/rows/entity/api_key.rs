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
    /// At most one of the two; both null if the operator created the key.
    pub created_by_key: Option<Uuid>,
    pub created_by_user: Option<Uuid>,
    pub created_at: i64,
    pub updated_at: i64,
    pub remaining: Option<i64>,
    /// These three are null or set together.
    pub refill_amount: Option<i64>,
    pub refill_interval: Option<i64>,
    pub refill_since: Option<i64>,
    pub last_refill_at: Option<i64>,
    /// These two are null or set together.
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
    /// When it was deleted. The row is kept for the retention period.
    pub deleted_at: Option<i64>,
    /// Whether it can authenticate requests that manage this service.
    pub can_manage: bool,
    pub description: Option<String>,
    /// The prefix of the previous secret; null if there was none, or an earlier version has rotated the key.
    pub previous_prefix: Option<String>,
    /// The folded name, if it differs from the name with lowercase ASCII letters. See `domain::validated_string::fold`.
    pub name_folded: Option<String>,
}

impl ActiveModelBehavior for ActiveModel {}
