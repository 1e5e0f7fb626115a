//! Imported keys: the hashes of their secrets in the other system, and the formats of the secrets.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, big_integer_null, binary_len, small_integer, string, uuid},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("imported_secrets")
                    .col(uuid("organization_id"))
                    // SHA-256.
                    .col(binary_len("hash", 32))
                    .col(uuid("api_key_id"))
                    // The first characters of the secret.
                    .col(string("start"))
                    .col(big_integer("imported_at"))
                    // First use of the secret: since then it has a row in `api_key_secrets`.
                    .col(big_integer_null("adopted_at"))
                    // Its expiry, if its key was rotated before it was used.
                    .col(big_integer_null("expires_at"))
                    .primary_key(Index::create().col("organization_id").col("hash"))
                    .foreign_key(
                        ForeignKey::create()
                            .from("imported_secrets", "api_key_id")
                            .to("api_keys", "id")
                            .on_delete(ForeignKeyAction::Cascade),
                    )
                    .to_owned(),
            )
            .await?;
        for column in ["hash", "api_key_id"] {
            let name = format!("imported_secrets_by_{column}");
            manager.create_index(Index::create().name(name).table("imported_secrets").col(column).to_owned()).await?;
        }
        manager
            .create_table(
                Table::create()
                    .table("imported_shapes")
                    .col(uuid("organization_id"))
                    .col(string("prefix"))
                    .col(small_integer("length"))
                    .col(string("alphabet"))
                    .primary_key(Index::create().col("organization_id").col("prefix").col("length").col("alphabet"))
                    .foreign_key(
                        ForeignKey::create()
                            .from("imported_shapes", "organization_id")
                            .to("organizations", "id")
                            .on_delete(ForeignKeyAction::Cascade),
                    )
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["imported_shapes", "imported_secrets"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}
