//! A row of `retention_runs`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "retention_runs")]
pub struct Model {
    /// See [`crate::retention::Kind::name`].
    #[sea_orm(primary_key, auto_increment = false)]
    pub kind: String,
    /// The cutoff of the last run: older rows were purged. Milliseconds since the Unix epoch.
    pub purged_before: i64,
}

impl ActiveModelBehavior for ActiveModel {}
