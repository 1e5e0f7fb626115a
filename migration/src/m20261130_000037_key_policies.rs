//! The key policies, of organizations and of permission sets, with a rule in each line. The indexes find those that have one. Versions that do not
//! know the columns neither apply nor change the policies.

use sea_orm_migration::{prelude::*, schema::text_null};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const COLUMN: &str = "key_policy";

/// Each table, its index, and the column of the index.
const TABLES: [(&str, &str, &str); 2] = [
    ("organizations", "organizations_with_key_policy", "id"),
    ("permission_sets", "permission_sets_with_key_policy", "organization_id"),
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (table, index, column) in TABLES {
            manager.alter_table(Table::alter().table(table).add_column(text_null(COLUMN)).to_owned()).await?;
            let index = Index::create()
                .name(index)
                .table(table)
                .col(column)
                .and_where(Expr::col(COLUMN).is_not_null())
                .to_owned();
            manager.create_index(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (table, index, _) in TABLES {
            manager.drop_index(Index::drop().name(index).table(table).to_owned()).await?;
            manager.alter_table(Table::alter().table(table).drop_column(COLUMN).to_owned()).await?;
        }
        Ok(())
    }
}
