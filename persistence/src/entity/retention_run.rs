//! A row of `retention_runs`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "retention_runs")]
pub struct Model {
    /// See [`crate::retention::Kind::name`].
    #[sea_orm(primary_key, auto_increment = false)]
    pub kind: String,
    /// Rows of before this moment were purged by the last run.
    pub purged_before: i64,
}

impl ActiveModelBehavior for ActiveModel {}
