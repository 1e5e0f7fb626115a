//! The customers' portal: its settings and sessions.

use sea_orm_migration::{
    prelude::*,
    schema::{
        big_integer, big_integer_null, binary_len, binary_len_null, pk_uuid, string, string_null, text, text_null,
        uuid, uuid_null,
    },
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const SETTINGS: &str = "portal_settings";
const SESSIONS: &str = "portal_sessions";

/// A foreign key with cascading deletion.
fn part_of(table: &'static str, column: &'static str, owner: &'static str) -> ForeignKeyCreateStatement {
    ForeignKey::create().from(table, column).to(owner, "id").on_delete(ForeignKeyAction::Cascade).to_owned()
}

fn index(column: &'static str) -> IndexCreateStatement {
    Index::create().name(format!("{SESSIONS}_by_{column}")).table(SESSIONS).col(column).to_owned()
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table(SETTINGS)
                    .col(pk_uuid("organization_id"))
                    .col(string_null("name"))
                    .col(string_null("color"))
                    // A data URL.
                    .col(text_null("logo"))
                    // Separated by spaces.
                    .col(text("origins"))
                    .foreign_key(&mut part_of(SETTINGS, "organization_id", "organizations"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table(SESSIONS)
                    .col(pk_uuid("id"))
                    .col(uuid("organization_id"))
                    // SHA-256 of the secret of the link. Null: the link was opened.
                    .col(binary_len_null("link_hash", 32))
                    // SHA-256 of the token. Null: the link was not opened yet.
                    .col(binary_len_null("token_hash", 32))
                    // The customer: one of these two is set.
                    .col(string_null("external_id"))
                    .col(uuid_null("user_id"))
                    // Codes and flat forms, separated by spaces.
                    .col(string("actions"))
                    .col(text("permissions"))
                    .col(big_integer("max_keys"))
                    // In milliseconds.
                    .col(big_integer_null("max_lifetime"))
                    .col(big_integer_null("rate_limit_max"))
                    .col(big_integer_null("rate_limit_window"))
                    .col(big_integer_null("remaining"))
                    .col(string_null("prefix"))
                    .col(text_null("return_url"))
                    .col(string("theme"))
                    // The secret that created it, as in `api_key_secrets`, and its key. Not foreign keys: a session is checked
                    // against them when it is used.
                    .col(binary_len("creator_hash", 32))
                    .col(uuid("created_by_key"))
                    .col(big_integer("created_at"))
                    .col(big_integer("expires_at"))
                    .foreign_key(&mut part_of(SESSIONS, "organization_id", "organizations"))
                    .foreign_key(&mut part_of(SESSIONS, "user_id", "users"))
                    .to_owned(),
            )
            .await?;
        for column in ["link_hash", "token_hash"] {
            manager.create_index(index(column).unique().to_owned()).await?;
        }
        for column in ["organization_id", "user_id", "creator_hash", "expires_at"] {
            manager.create_index(index(column)).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(SESSIONS).to_owned()).await?;
        manager.drop_table(Table::drop().table(SETTINGS).to_owned()).await
    }
}
