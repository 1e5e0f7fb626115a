//! Limits of keys, their current state, and a version of the settings.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, big_integer_null},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const OPTIONAL: [&str; 9] = [
    "remaining",
    "refill_amount",
    "refill_interval",
    "refill_since",
    "last_refill_at",
    "rate_limit_max",
    "rate_limit_window",
    "window_start",
    "last_request_at",
];
const COUNTS: [&str; 3] = ["window_count", "request_count", "version"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let optional = OPTIONAL.into_iter().map(big_integer_null);
        let counts = COUNTS.into_iter().map(|name| big_integer(name).default(0).take());
        // SQLite adds one column per statement.
        for column in optional.chain(counts) {
            manager.alter_table(Table::alter().table("api_keys").add_column(column).to_owned()).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for name in OPTIONAL.into_iter().chain(COUNTS) {
            manager.alter_table(Table::alter().table("api_keys").drop_column(name).to_owned()).await?;
        }
        Ok(())
    }
}
