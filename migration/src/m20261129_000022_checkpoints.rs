//! Stores the newest signed checkpoint of each audit log with it. Every organization gets a log, so that a missing log is detected.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, text_null},
    sea_orm::DbBackend,
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in [text_null("checkpoint"), big_integer("checkpoint_seq").default(0).to_owned()] {
            manager.alter_table(Table::alter().table("audit_chains").add_column(column).to_owned()).await?;
        }
        // A partial index of the few logs that have events after their last checkpoint. They are read every minute.
        let grown = Index::create()
            .name("audit_chains_without_checkpoint")
            .table("audit_chains")
            .col("organization_id")
            .and_where(Expr::col("checkpoint_seq").lt(Expr::col("end_seq")))
            .to_owned();
        manager.create_index(grown).await?;
        let zeros = match manager.get_database_backend() {
            DbBackend::Postgres => "decode(repeat('00', 32), 'hex')",
            _ => "zeroblob(32)",
        };
        for (id, table) in [("id", "organizations"), ("organization_id", "audit_events")] {
            let insert = format!(
                "INSERT INTO audit_chains (organization_id, begin_seq, begin_hash, begin_at, end_seq, end_hash, end_at) \
                 SELECT DISTINCT {id}, 0, {zeros}, 0, 0, {zeros}, 0 FROM {table} \
                 WHERE NOT EXISTS (SELECT 1 FROM audit_chains WHERE audit_chains.organization_id = {table}.{id})"
            );
            manager.get_connection().execute_unprepared(&insert).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let index = Index::drop().name("audit_chains_without_checkpoint").table("audit_chains").to_owned();
        manager.drop_index(index).await?;
        for column in ["checkpoint_seq", "checkpoint"] {
            manager.alter_table(Table::alter().table("audit_chains").drop_column(column).to_owned()).await?;
        }
        Ok(())
    }
}
