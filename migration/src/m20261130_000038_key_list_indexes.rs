//! Indexes for lists of keys: in the order of names and of expiry, and the keys of a user or with an external id. Only keys that are
//! not deleted are in them.

use sea_orm_migration::{
    prelude::*,
    sea_orm::{ConnectionTrait, DbBackend},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const BY_NAME: &str = "api_keys_by_name";
const BY_EXPIRY: &str = "api_keys_in_order_of_expiry";
const BY_EXTERNAL_ID: &str = "api_keys_by_external_id";
const BY_OWNER: &str = "api_keys_by_owner";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // The expressions are those of the statements, or the databases would not use the indexes.
        let name = match manager.get_database_backend() {
            DbBackend::Postgres => r#"lower(COALESCE(name, '') COLLATE "C")"#,
            _ => "lower(COALESCE(name, ''))",
        };
        // A key that never expires is the last one.
        let expiry = format!("COALESCE(expires_at, {})", i64::MAX);
        for (index, columns, condition) in [
            (BY_NAME, format!("({name}), id"), ""),
            (BY_EXPIRY, format!("({expiry}), id"), ""),
            (BY_EXTERNAL_ID, "external_id, created_at, id".to_owned(), "external_id IS NOT NULL AND "),
            (BY_OWNER, "user_id, created_at, id".to_owned(), "user_id IS NOT NULL AND "),
        ] {
            let sql = format!(
                "CREATE INDEX {index} ON api_keys (organization_id, {columns}) WHERE {condition}deleted_at IS NULL"
            );
            manager.get_connection().execute_unprepared(&sql).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for index in [BY_OWNER, BY_EXTERNAL_ID, BY_EXPIRY, BY_NAME] {
            manager.drop_index(Index::drop().name(index).table("api_keys").to_owned()).await?;
        }
        Ok(())
    }
}
