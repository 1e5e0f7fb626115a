//! The row that write probes update, to find out whether the database can be written.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, blob, integer},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("write_probes")
                    .col(integer("id").primary_key().to_owned())
                    .col(big_integer("writes"))
                    .col(blob("filler"))
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("write_probes").to_owned()).await
    }
}
