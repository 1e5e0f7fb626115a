//! Limits on the rows of an organization: counts of changes by hour, of deleted keys and of sessions, and the sizes of stored
//! responses.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, big_integer_null, uuid_null},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const COUNTS: [&str; 4] = ["counted_hour", "changes", "idempotency_keys", "answer_bytes"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let add = async |table: &'static str, column: ColumnDef| {
            manager.alter_table(Table::alter().table(table).add_column(column).to_owned()).await
        };
        for count in COUNTS {
            add("audit_chains", big_integer(count).default(0).to_owned()).await?;
        }
        add("requests", big_integer_null("answer_bytes")).await?;
        add("requests", uuid_null("organization_id")).await?;
        add("token_families", uuid_null("api_key_id")).await?;
        add("sessions", uuid_null("home_id")).await?;
        add("organizations", big_integer("deleted_key_count").default(0).to_owned()).await?;
        let sessions = Index::create()
            .name("sessions_by_home_id")
            .table("sessions")
            .col("home_id")
            .col("created_at")
            .and_where(Expr::col("home_id").is_not_null())
            .to_owned();
        manager.create_index(sessions).await?;
        // A partial index, because only few keys are deleted at a time.
        let deleted = Index::create()
            .name("api_keys_by_deletion")
            .table("api_keys")
            .col("organization_id")
            .col("deleted_at")
            .and_where(Expr::col("deleted_at").is_not_null())
            .to_owned();
        manager.create_index(deleted).await?;
        let count = "UPDATE organizations SET deleted_key_count = (SELECT count(*) FROM api_keys \
                     WHERE api_keys.organization_id = organizations.id AND api_keys.deleted_at IS NOT NULL)";
        manager.get_connection().execute_unprepared(count).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (index, table) in [("api_keys_by_deletion", "api_keys"), ("sessions_by_home_id", "sessions")] {
            manager.drop_index(Index::drop().name(index).table(table).to_owned()).await?;
        }
        let columns = COUNTS.map(|count| ("audit_chains", count)).into_iter().chain([
            ("requests", "answer_bytes"),
            ("requests", "organization_id"),
            ("token_families", "api_key_id"),
            ("sessions", "home_id"),
            ("organizations", "deleted_key_count"),
        ]);
        for (table, column) in columns {
            manager.alter_table(Table::alter().table(table).drop_column(column).to_owned()).await?;
        }
        Ok(())
    }
}
