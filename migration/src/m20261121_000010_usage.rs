//! Verifications by hour and outcome, of each key and of each organization.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, small_integer, uuid},
    sea_orm::DbBackend,
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// The hour is first in the primary key: the counts of an hour are stored together, and are purged together.
fn counts(table: &'static str, of: &'static str, backend: DbBackend) -> TableCreateStatement {
    let mut create = Table::create();
    create
        .table(table)
        .col(big_integer("hour"))
        // Not a foreign key: counts of deleted keys and organizations are kept.
        .col(uuid(of))
        .col(small_integer("outcome"))
        .col(big_integer("count"))
        .primary_key(Index::create().col("hour").col(of).col("outcome"));
    if backend == DbBackend::Sqlite {
        create.extra("WITHOUT ROWID");
    }
    create
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let backend = manager.get_database_backend();
        manager.create_table(counts("api_key_usage", "api_key_id", backend)).await?;
        manager.create_table(counts("organization_usage", "organization_id", backend)).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["organization_usage", "api_key_usage"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}
