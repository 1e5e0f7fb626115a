//! The first characters and the last use of a previous secret.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer_null, string_null},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in [string_null("start"), big_integer_null("last_request_at")] {
            manager.alter_table(Table::alter().table("api_key_secrets").add_column(column).to_owned()).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in ["start", "last_request_at"] {
            manager.alter_table(Table::alter().table("api_key_secrets").drop_column(column).to_owned()).await?;
        }
        Ok(())
    }
}
