//! A row of `user_identities`: the external identity of a user.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "user_identities")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub issuer: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub subject: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: Uuid,
    pub user_id: Uuid,
    pub created_at: i64,
    /// When the person accepted the membership, or was provisioned on login.
    pub accepted_at: Option<i64>,
}

impl ActiveModelBehavior for ActiveModel {}
