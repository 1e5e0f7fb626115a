//! A row of `users`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "users")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub name: String,
    /// As it was given.
    pub email: String,
    /// The form that is unique.
    #[sea_orm(unique)]
    pub email_canonical: String,
    pub created_at: i64,
}

impl ActiveModelBehavior for ActiveModel {}
