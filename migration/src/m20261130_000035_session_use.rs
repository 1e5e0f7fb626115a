//! When the caller of a session signed in, when the session was last used, and the client that created it. In the sessions of
//! versions that do not know these columns, both times are 0 and stand for that of the creation.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, string_null},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const TABLE: &str = "sessions";
const INDEX: &str = "sessions_by_last_used_at";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in [
            big_integer("signed_in_at").default(0).to_owned(),
            big_integer("last_used_at").default(0).to_owned(),
            // An IP address.
            string_null("client"),
            string_null("user_agent"),
        ] {
            manager.alter_table(Table::alter().table(TABLE).add_column(column).to_owned()).await?;
        }
        manager.create_index(Index::create().name(INDEX).table(TABLE).col("last_used_at").to_owned()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_index(Index::drop().name(INDEX).table(TABLE).to_owned()).await?;
        for column in ["signed_in_at", "last_used_at", "client", "user_agent"] {
            manager.alter_table(Table::alter().table(TABLE).drop_column(column).to_owned()).await?;
        }
        Ok(())
    }
}
