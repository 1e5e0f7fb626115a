//! A row of `users`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "users")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub name: String,
    /// The e-mail address as it was given; empty if there is none.
    pub email: String,
    /// The id as a string. An earlier schema had another unique value here, and SQLite cannot drop the column.
    #[sea_orm(unique)]
    pub unused_key: String,
    pub created_at: i64,
    /// Null for a removed user, whose row stays, without personal data, as long as keys belong to it.
    pub organization_id: Option<Uuid>,
    /// The normalized form by which addresses are compared.
    pub email_canonical: Option<String>,
    /// Flat forms, separated by spaces.
    pub permissions: String,
    /// `sign_up`, `invited` or `identity_provider`.
    pub origin: String,
}

impl ActiveModelBehavior for ActiveModel {}
