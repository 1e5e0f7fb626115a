//! Deleted organizations can be restored for a while: when their removal began, and the settings from before the deletion.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer_null, string_null},
    sea_orm::ConnectionTrait,
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const TABLE: &str = "organizations";
const COLUMNS: [&str; 3] = ["removal_began_at", "deleted_external_id", "deleted_suspended_at"];
const INDEX: &str = "organizations_by_removal_began_at";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let add = async |column: ColumnDef| {
            manager.alter_table(Table::alter().table(TABLE).add_column(column).to_owned()).await
        };
        add(big_integer_null("removal_began_at")).await?;
        add(string_null("deleted_external_id")).await?;
        add(big_integer_null("deleted_suspended_at")).await?;
        let index = Index::create()
            .name(INDEX)
            .table(TABLE)
            .col("removal_began_at")
            .and_where(Expr::col("removal_began_at").is_not_null())
            .to_owned();
        manager.create_index(index).await?;
        // The rows of organizations that are deleted already are being removed.
        let began = "UPDATE organizations SET removal_began_at = deleted_at WHERE deleted_at IS NOT NULL";
        manager.get_connection().execute_unprepared(began).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_index(Index::drop().name(INDEX).table(TABLE).to_owned()).await?;
        for column in COLUMNS {
            manager.alter_table(Table::alter().table(TABLE).drop_column(column).to_owned()).await?;
        }
        Ok(())
    }
}
