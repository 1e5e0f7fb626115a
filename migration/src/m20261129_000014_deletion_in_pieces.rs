//! Marks organizations and permission sets as deleted while their rows are being removed; and indexes that find these rows without
//! reading a whole organization.

use sea_orm_migration::{
    prelude::*,
    schema::big_integer_null,
    sea_orm::{ConnectionTrait, DbBackend},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// Tables whose rows are marked as deleted before they are removed.
const MARKED: [&str; 2] = ["organizations", "permission_sets"];

/// Tables with permissions, whose rows with `*` are indexed.
const ALL_POWERFUL: [&str; 2] = ["memberships", "permission_sets"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Keys first, as readers of keys lock the tables; in the other order the two could wait for each other.
        let expiry = Index::create()
            .name("api_keys_by_expires_at")
            .table("api_keys")
            .col("organization_id")
            .col("expires_at")
            .col("id")
            .and_where(Expr::col("expires_at").is_not_null())
            .and_where(Expr::col("deleted_at").is_null())
            .to_owned();
        manager.create_index(expiry).await?;
        for table in MARKED {
            let column = big_integer_null("deleted_at");
            manager.alter_table(Table::alter().table(table).add_column(column).to_owned()).await?;
            let index = Index::create()
                .name(format!("{table}_by_deleted_at"))
                .table(table)
                .col("deleted_at")
                .and_where(Expr::col("deleted_at").is_not_null())
                .to_owned();
            manager.create_index(index).await?;
        }
        let find = if manager.get_database_backend() == DbBackend::Postgres { "strpos" } else { "instr" };
        for table in ALL_POWERFUL {
            let sql = format!(
                "CREATE INDEX {table}_with_all ON {table} (organization_id) \
                 WHERE {find}(' ' || permissions || ' ', ' * ') > 0"
            );
            manager.get_connection().execute_unprepared(&sql).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ALL_POWERFUL {
            manager.drop_index(Index::drop().name(format!("{table}_with_all")).table(table).to_owned()).await?;
        }
        for table in MARKED {
            manager.drop_index(Index::drop().name(format!("{table}_by_deleted_at")).table(table).to_owned()).await?;
            manager.alter_table(Table::alter().table(table).drop_column("deleted_at").to_owned()).await?;
        }
        manager.drop_index(Index::drop().name("api_keys_by_expires_at").table("api_keys").to_owned()).await
    }
}
