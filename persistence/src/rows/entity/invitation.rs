//! A row of `invitations`: an open invitation or recovery link.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "invitations")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub organization_id: Uuid,
    /// `invitation` or `recovery`.
    pub kind: String,
    /// SHA-256 of the token.
    #[sea_orm(unique)]
    pub token_hash: Vec<u8>,
    pub name: String,
    /// The e-mail address as it was given; empty if there is none.
    pub email: String,
    pub email_canonical: Option<String>,
    /// Flat forms, separated by spaces.
    pub permissions: String,
    /// Ids, separated by spaces.
    pub permission_sets: String,
    /// The member of a recovery link.
    pub user_id: Option<Uuid>,
    pub creator_organization_id: Uuid,
    /// One of these two is set.
    pub created_by_key: Option<Uuid>,
    pub created_by_user: Option<Uuid>,
    pub creator_has_own_permissions: bool,
    pub created_at: i64,
    pub expires_at: i64,
}

impl ActiveModelBehavior for ActiveModel {}
