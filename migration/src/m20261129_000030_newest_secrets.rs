//! Whether the newest secret of a key was used since its rotation, and the prefix of the previous one, so that a rotation can be
//! undone. Secrets of earlier versions count as used.

use sea_orm_migration::{
    prelude::*,
    schema::{boolean, string_null},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let is_unused = boolean("is_unused").default(false).to_owned();
        manager.alter_table(Table::alter().table("api_key_secrets").add_column(is_unused).to_owned()).await?;
        let prefix = string_null("previous_prefix");
        manager.alter_table(Table::alter().table("api_keys").add_column(prefix).to_owned()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.alter_table(Table::alter().table("api_keys").drop_column("previous_prefix").to_owned()).await?;
        manager.alter_table(Table::alter().table("api_key_secrets").drop_column("is_unused").to_owned()).await
    }
}
