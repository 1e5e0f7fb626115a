//! Passkeys, and the ceremonies that were used.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, big_integer_null, binary_len, pk_uuid, string, uuid, var_binary},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const PASSKEYS: &str = "passkeys";
const CEREMONIES: &str = "used_ceremonies";

fn index(table: &'static str, column: &'static str) -> IndexCreateStatement {
    Index::create().name(format!("{table}_by_{column}")).table(table).col(column).to_owned()
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table(PASSKEYS)
                    .col(pk_uuid("id"))
                    // The subject of the account's identity. Not a foreign key: an account has no other row.
                    .col(uuid("account_id"))
                    .col(var_binary("credential_id", 1023))
                    // Encoded: the public key, and what else does not change.
                    .col(var_binary("public_key", 4096))
                    // Encoded: the signature counter, and what else each sign-in may change.
                    .col(var_binary("state", 64))
                    .col(string("name"))
                    .col(big_integer("created_at"))
                    .col(big_integer_null("last_used_at"))
                    .to_owned(),
            )
            .await?;
        manager.create_index(index(PASSKEYS, "credential_id").unique().to_owned()).await?;
        manager.create_index(index(PASSKEYS, "account_id")).await?;
        manager
            .create_table(
                Table::create()
                    .table(CEREMONIES)
                    .col(binary_len("challenge", 16).primary_key().to_owned())
                    .col(big_integer("expires_at"))
                    .to_owned(),
            )
            .await?;
        manager.create_index(index(CEREMONIES, "expires_at")).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(CEREMONIES).to_owned()).await?;
        manager.drop_table(Table::drop().table(PASSKEYS).to_owned()).await
    }
}
