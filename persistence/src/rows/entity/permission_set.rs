//! A row of `permission_sets`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "permission_sets")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub organization_id: Uuid,
    pub name: String,
    /// Flat forms, separated by spaces.
    pub permissions: String,
    pub created_at: i64,
    pub updated_at: i64,
    /// When it was deleted. It is then detached from keys and members in batches.
    pub deleted_at: Option<i64>,
    /// The key policy that have the set, as that of an organization; null: none.
    pub key_policy: Option<String>,
}

impl ActiveModelBehavior for ActiveModel {}
