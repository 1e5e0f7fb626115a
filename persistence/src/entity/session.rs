//! A row of `sessions`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sessions")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Of a key's session; the next ones of a user's.
    pub secret_hash: Option<Vec<u8>>,
    pub user_id: Option<Uuid>,
    pub issuer: Option<String>,
    pub organization_id: Option<Uuid>,
    /// Flat forms, separated by spaces.
    pub permissions: Option<String>,
    pub created_at: i64,
    pub expires_at: i64,
    /// In which organization it was opened; a row of an older version has none.
    pub home_id: Option<Uuid>,
}

impl ActiveModelBehavior for ActiveModel {}
