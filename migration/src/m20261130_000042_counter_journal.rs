//! The journal of the ledger on SQLite, and the keys whose counters a change may have set. PostgreSQL has neither.
//!
//! A later migration that creates `api_keys` again must also create the trigger.

use sea_orm_migration::{
    prelude::*,
    sea_orm::{ConnectionTrait, DbBackend},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const UP: [&str; 3] = [
    "CREATE TABLE counter_journal (seq INTEGER NOT NULL PRIMARY KEY, entries BLOB NOT NULL)",
    "CREATE TABLE changed_counters (key_id BLOB NOT NULL PRIMARY KEY REFERENCES api_keys (id) ON DELETE CASCADE) WITHOUT ROWID",
    // `version` for changes by the service; the others for statements that an operator runs. The ledger itself writes none of them.
    "CREATE TRIGGER api_keys_changed_counters AFTER UPDATE OF version, enabled, expires_at, refill_amount, refill_interval, \
     refill_since, rate_limit_max, rate_limit_window ON api_keys \
     WHEN OLD.remaining IS NOT NULL OR OLD.rate_limit_max IS NOT NULL \
     BEGIN INSERT OR IGNORE INTO changed_counters (key_id) VALUES (OLD.id); END",
];

const DOWN: [&str; 3] =
    ["DROP TRIGGER api_keys_changed_counters", "DROP TABLE changed_counters", "DROP TABLE counter_journal"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, DOWN).await
    }
}

async fn run(manager: &SchemaManager<'_>, statements: [&str; 3]) -> Result<(), DbErr> {
    if manager.get_database_backend() == DbBackend::Sqlite {
        for statement in statements {
            manager.get_connection().execute_unprepared(statement).await?;
        }
    }
    Ok(())
}
