//! A row of `api_key_usage`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "api_key_usage")]
pub struct Model {
    /// Hours since the Unix epoch.
    #[sea_orm(primary_key, auto_increment = false)]
    pub hour: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    pub api_key_id: Uuid,
    /// See `domain::usage::Outcome::number`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub outcome: i16,
    pub count: i64,
}

impl ActiveModelBehavior for ActiveModel {}
