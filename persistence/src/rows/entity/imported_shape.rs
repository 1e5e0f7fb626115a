//! A row of `imported_shapes`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "imported_shapes")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub prefix: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub length: i16,
    /// See `domain::keys::secret::Alphabet::code`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub alphabet: String,
}

impl ActiveModelBehavior for ActiveModel {}
