//! API keys and their secrets. Secrets are in a table of their own: during a rotation a key has two.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, big_integer_null, boolean, pk_uuid, string, string_null, text, text_null, uuid, uuid_null},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("api_keys")
                    .col(pk_uuid("id"))
                    .col(uuid("organization_id"))
                    .col(uuid_null("user_id"))
                    .col(string_null("name"))
                    .col(string("prefix"))
                    .col(string("start"))
                    .col(boolean("enabled"))
                    .col(big_integer_null("expires_at"))
                    .col(text_null("metadata"))
                    .col(text("permissions"))
                    // Not foreign keys: the creator of a key may be deleted before the key.
                    .col(uuid_null("created_by_key"))
                    .col(uuid_null("created_by_user"))
                    .col(big_integer("created_at"))
                    .col(big_integer("updated_at"))
                    .foreign_key(
                        ForeignKey::create()
                            .from("api_keys", "organization_id")
                            .to("organizations", "id")
                            .on_delete(ForeignKeyAction::Cascade),
                    )
                    .foreign_key(
                        ForeignKey::create()
                            .from("api_keys", "user_id")
                            .to("users", "id")
                            .on_delete(ForeignKeyAction::Cascade),
                    )
                    .to_owned(),
            )
            .await?;
        // For lists and their pages, in the order of creation.
        manager
            .create_index(
                Index::create()
                    .name("api_keys_by_organization")
                    .table("api_keys")
                    .col("organization_id")
                    .col("created_at")
                    .col("id")
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(Index::create().name("api_keys_by_user").table("api_keys").col("user_id").to_owned())
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("api_key_secrets")
                    .col(ColumnDef::new("hash").binary_len(32).not_null().primary_key())
                    .col(uuid("api_key_id"))
                    .col(big_integer("created_at"))
                    .col(big_integer_null("expires_at"))
                    .foreign_key(
                        ForeignKey::create()
                            .from("api_key_secrets", "api_key_id")
                            .to("api_keys", "id")
                            .on_delete(ForeignKeyAction::Cascade),
                    )
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(
                Index::create()
                    .name("api_key_secrets_by_api_key")
                    .table("api_key_secrets")
                    .col("api_key_id")
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["api_key_secrets", "api_keys"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}
