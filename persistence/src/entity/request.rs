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
    /// Without secrets; none until it is known.
    pub answer: Option<String>,
}

impl ActiveModelBehavior for ActiveModel {}
