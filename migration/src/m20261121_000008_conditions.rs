//! Keys get a start of validity, an IP allowlist, and a deletion time (soft delete).

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer_null, text_null},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in [big_integer_null("not_before"), text_null("allowed_addresses"), big_integer_null("deleted_at")] {
            manager.alter_table(Table::alter().table("api_keys").add_column(column).to_owned()).await?;
        }
        // A partial index, because only few keys are deleted at a time.
        let deleted = Index::create()
            .name("api_keys_by_deleted_at")
            .table("api_keys")
            .col("deleted_at")
            .and_where(Expr::col("deleted_at").is_not_null())
            .to_owned();
        manager.create_index(deleted).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_index(Index::drop().name("api_keys_by_deleted_at").table("api_keys").to_owned()).await?;
        for column in ["deleted_at", "allowed_addresses", "not_before"] {
            manager.alter_table(Table::alter().table("api_keys").drop_column(column).to_owned()).await?;
        }
        Ok(())
    }
}
