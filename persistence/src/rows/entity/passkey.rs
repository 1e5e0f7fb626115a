//! A row of `passkeys`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "passkeys")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The subject of the account's identity.
    pub account_id: Uuid,
    /// What the authenticator calls it.
    #[sea_orm(unique)]
    pub credential_id: Vec<u8>,
    /// The public key, and what else does not change.
    pub public_key: Vec<u8>,
    /// The signature counter, and what else each sign-in may change.
    pub state: Vec<u8>,
    pub name: String,
    pub created_at: i64,
    pub last_used_at: Option<i64>,
}

impl ActiveModelBehavior for ActiveModel {}
