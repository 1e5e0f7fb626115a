//! A row of `requests`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "requests")]
pub struct Model {
    /// See `domain::act::Once`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub scope: Vec<u8>,
    pub body: Vec<u8>,
    pub done_at: i64,
    /// Without secrets; none until it is known, and none where it is too large to be kept.
    pub answer: Option<String>,
    /// How long it is, since it is known.
    pub answer_bytes: Option<i64>,
    /// In whose log it was done; a row of an older version has none.
    pub organization_id: Option<Uuid>,
}

impl ActiveModelBehavior for ActiveModel {}
