//! Indexes for filters of lists that few rows match: keys with a rotation, the visible start of a secret, all permissions, or that are
//! disabled; events of an action, an actor, an outcome or a period. No column is in them that changes with the use of a key.

use sea_orm_migration::{
    prelude::*,
    sea_orm::{ConnectionTrait, DbBackend},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // A start is looked up by its bytes.
        let (find, start) = match manager.get_database_backend() {
            DbBackend::Postgres => ("strpos", r#"start COLLATE "C""#),
            _ => ("instr", "start"),
        };
        // The conditions are those of the statements, or SQLite would not use the indexes.
        for (index, on) in [
            ("api_key_secrets_by_expiry", "api_key_secrets (expires_at, api_key_id) WHERE expires_at IS NOT NULL"),
            ("api_key_secrets_by_start", &format!("api_key_secrets ({start}, api_key_id)")),
            ("imported_secrets_by_start", &format!("imported_secrets (organization_id, {start}, api_key_id)")),
            ("api_keys_by_start", &format!("api_keys (organization_id, {start}, id)")),
            ("api_keys_disabled", "api_keys (organization_id, id) WHERE NOT enabled AND deleted_at IS NULL"),
            (
                "api_keys_with_all",
                &format!("api_keys (organization_id, id) WHERE {find}(' ' || permissions || ' ', ' * ') > 0"),
            ),
            ("audit_events_by_at", "audit_events (organization_id, at)"),
            ("audit_events_by_action", "audit_events (organization_id, action, seq)"),
            (
                "audit_events_by_actor_key",
                "audit_events (organization_id, actor_key_id, seq) WHERE actor_key_id IS NOT NULL",
            ),
            (
                "audit_events_by_actor_user",
                "audit_events (organization_id, actor_user_id, seq) WHERE actor_user_id IS NOT NULL",
            ),
            ("audit_events_not_done", "audit_events (organization_id, outcome, seq) WHERE outcome <> 'done'"),
        ] {
            manager.get_connection().execute_unprepared(&format!("CREATE INDEX {index} ON {on}")).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (index, table) in [
            ("audit_events_not_done", "audit_events"),
            ("audit_events_by_actor_user", "audit_events"),
            ("audit_events_by_actor_key", "audit_events"),
            ("audit_events_by_action", "audit_events"),
            ("audit_events_by_at", "audit_events"),
            ("api_keys_with_all", "api_keys"),
            ("api_keys_disabled", "api_keys"),
            ("api_keys_by_start", "api_keys"),
            ("imported_secrets_by_start", "imported_secrets"),
            ("api_key_secrets_by_start", "api_key_secrets"),
            ("api_key_secrets_by_expiry", "api_key_secrets"),
        ] {
            manager.drop_index(Index::drop().name(index).table(table).to_owned()).await?;
        }
        Ok(())
    }
}
