//! A row of `portal_settings`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "portal_settings")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: Uuid,
    pub name: Option<String>,
    pub color: Option<String>,
    /// A data URL.
    pub logo: Option<String>,
    /// Separated by spaces.
    pub origins: String,
}

impl ActiveModelBehavior for ActiveModel {}
