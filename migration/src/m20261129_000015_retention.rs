//! The cutoff of the last run of retention for each kind of row, and signed records that the oldest events of a log were pruned.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, string, text_null},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("retention_runs")
                    .col(string("kind").primary_key().to_owned())
                    // The last run purged rows from before this time.
                    .col(big_integer("purged_before"))
                    .to_owned(),
            )
            .await?;
        // A signed record that retention pruned the events up to `begin_seq`. Null if there was no signing key.
        let record = Table::alter().table("audit_chains").add_column(text_null("prune_record")).to_owned();
        manager.alter_table(record).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let record = Table::alter().table("audit_chains").drop_column("prune_record").to_owned();
        manager.alter_table(record).await?;
        manager.drop_table(Table::drop().table("retention_runs").to_owned()).await
    }
}
