//! Indexes for filters of lists of keys: by a permission, keys that cannot manage this service, and keys without remaining uses. The
//! last one is on SQLite alone: on PostgreSQL each use would have to write to an index in whose condition is a column that it changes.

use sea_orm_migration::{
    prelude::*,
    sea_orm::{ConnectionTrait, DbBackend},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Ordered by bytes, and not longer than an index of PostgreSQL allows.
        let permissions = match manager.get_database_backend() {
            DbBackend::Postgres => r#"(substr(permissions, 1, 200) COLLATE "C")"#,
            _ => "substr(permissions, 1, 200)",
        };
        // SQLite has no statistics, and would use this index for other filters, too. The condition on `permissions` is always true, and
        // only the statements that need the index have it.
        let by_permissions = format!("{permissions}) WHERE deleted_at IS NULL AND permissions >= ''");
        create(manager, "api_keys_by_permissions", &by_permissions).await?;
        create(manager, "api_keys_cannot_manage", "id) WHERE NOT can_manage AND deleted_at IS NULL").await?;
        if manager.get_database_backend() == DbBackend::Sqlite {
            create(manager, "api_keys_exhausted", "id) WHERE remaining = 0 AND deleted_at IS NULL").await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for index in ["api_keys_exhausted", "api_keys_cannot_manage", "api_keys_by_permissions"] {
            manager.drop_index(Index::drop().name(index).table("api_keys").if_exists().to_owned()).await?;
        }
        Ok(())
    }
}

/// `rest`: the index after the organization.
async fn create(manager: &SchemaManager<'_>, index: &str, rest: &str) -> Result<(), DbErr> {
    let sql = format!("CREATE INDEX {index} ON api_keys (organization_id, {rest}");
    manager.get_connection().execute_unprepared(&sql).await.map(drop)
}
