//! A row of `used_ceremonies`: a passkey ceremony that cannot be used again.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "used_ceremonies")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub challenge: Vec<u8>,
    /// When the ceremony expires. The row is removed later than that.
    pub expires_at: i64,
}

impl ActiveModelBehavior for ActiveModel {}
