//! A row of `organizations`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "organizations")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub name: Option<String>,
    /// `tenant` or `platform`.
    pub kind: String,
    pub created_at: i64,
    #[sea_orm(unique)]
    pub external_id: Option<String>,
    pub suspended_at: Option<i64>,
    /// Where there is none, the service's own cap holds.
    pub most_keys: Option<i64>,
    pub most_members: Option<i64>,
    pub most_sets: Option<i64>,
    /// Counted along with the keys.
    pub key_count: i64,
    /// Deleted keys that are kept, or more: see `crate::deleted`.
    pub deleted_key_count: i64,
    /// When it was deleted; its rows are removed in pieces.
    pub deleted_at: Option<i64>,
}

impl ActiveModelBehavior for ActiveModel {}
