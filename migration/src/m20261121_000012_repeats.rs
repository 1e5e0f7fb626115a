//! Idempotency records.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, binary_len, text_null},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("requests")
                    .col(binary_len("scope", 32).primary_key().to_owned())
                    .col(binary_len("body", 32))
                    .col(big_integer("done_at"))
                    .col(text_null("answer"))
                    .to_owned(),
            )
            .await?;
        let by_time = Index::create().name("requests_by_done_at").table("requests").col("done_at").to_owned();
        manager.create_index(by_time).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("requests").to_owned()).await
    }
}
