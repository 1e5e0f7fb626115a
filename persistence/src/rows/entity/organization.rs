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
    /// The caps; null: the default of the service.
    pub most_keys: Option<i64>,
    pub most_members: Option<i64>,
    pub most_sets: Option<i64>,
    /// Keys that are not deleted, updated with each change.
    pub key_count: i64,
    /// An upper bound of the deleted keys that are kept; see `crate::api_keys::deleted`.
    pub deleted_key_count: i64,
    /// When it was deleted.
    pub deleted_at: Option<i64>,
    /// When the removal of its rows began. Until then it can be restored.
    pub removal_began_at: Option<i64>,
    /// Its external id before it was deleted. Others may have that meanwhile.
    pub deleted_external_id: Option<String>,
    /// `suspended_at` before it was deleted.
    pub deleted_suspended_at: Option<i64>,
    /// The default of `can_manage` for new keys.
    pub keys_can_manage_by_default: bool,
    /// The key policy, a rule in each line: see `crate::rows::convert::key_policy`; null: none.
    pub key_policy: Option<String>,
}

impl ActiveModelBehavior for ActiveModel {}
