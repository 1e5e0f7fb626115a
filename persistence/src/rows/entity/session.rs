//! A row of `sessions`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sessions")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Set in the session of a key. Issuer and subject are set in the session of a person.
    pub secret_hash: Option<Vec<u8>>,
    /// The user that the person was in the organization where it was opened, if any.
    pub user_id: Option<Uuid>,
    pub issuer: Option<String>,
    pub organization_id: Option<Uuid>,
    /// Flat forms, separated by spaces.
    pub permissions: Option<String>,
    pub created_at: i64,
    pub expires_at: i64,
    /// The organization in which it was opened; null in rows of older versions.
    pub home_id: Option<Uuid>,
    /// The subject of the ID token.
    pub subject: Option<String>,
    /// 0 in rows of older versions: when it was created.
    pub signed_in_at: i64,
    /// 0 in rows of older versions, until it is used: when it was created.
    pub last_used_at: i64,
    /// The IP address of the client that opened it.
    pub client: Option<String>,
    pub user_agent: Option<String>,
}

impl ActiveModelBehavior for ActiveModel {}
