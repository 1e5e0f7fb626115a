//! A row of `requests`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "requests")]
pub struct Model {
    /// See `domain::audit::context::IdempotencyKey`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub scope: Vec<u8>,
    pub body: Vec<u8>,
    pub done_at: i64,
    /// The response, without secrets. Null until it is stored, and if it was too large.
    pub answer: Option<String>,
    /// The length of the response; null until it is stored.
    pub answer_bytes: Option<i64>,
    /// The organization whose log has the change; null in rows of older versions.
    pub organization_id: Option<Uuid>,
}

impl ActiveModelBehavior for ActiveModel {}
