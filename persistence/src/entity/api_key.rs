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
}

impl ActiveModelBehavior for ActiveModel {}
