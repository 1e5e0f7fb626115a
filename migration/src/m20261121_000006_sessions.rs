//! External identities, browser sessions, and token groups (`token_families`).

use sea_orm_migration::{
    prelude::*,
    schema::{
        big_integer, big_integer_null, binary_len, pk_uuid, string, string_null, text, text_null, uuid, uuid_null,
    },
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// A foreign key with cascading deletion.
fn part_of(from: (&'static str, &'static str), to: (&'static str, &'static str)) -> ForeignKeyCreateStatement {
    ForeignKey::create().from(from.0, from.1).to(to.0, to.1).on_delete(ForeignKeyAction::Cascade).to_owned()
}

fn index(table: &'static str, columns: &[&'static str]) -> IndexCreateStatement {
    let mut index = Index::create().name(format!("{table}_by_{}", columns[0])).table(table).to_owned();
    for column in columns {
        index.col(*column);
    }
    index
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("identities")
                    .col(string("issuer"))
                    .col(string("subject"))
                    .col(uuid("user_id"))
                    .col(big_integer("created_at"))
                    // Time of the first login. Null: not logged in yet.
                    .col(big_integer_null("seen_at"))
                    .primary_key(Index::create().col("issuer").col("subject"))
                    .foreign_key(&mut part_of(("identities", "user_id"), ("users", "id")))
                    .to_owned(),
            )
            .await?;
        manager.create_index(index("identities", &["user_id"])).await?;
        manager
            .create_table(
                Table::create()
                    .table("sessions")
                    .col(pk_uuid("id"))
                    // In the session of a key: it is deleted with the secret that it was opened with.
                    .col(ColumnDef::new("secret_hash").binary_len(32).null())
                    // In the session of a user of an identity provider: the claims of the token that it was opened with.
                    .col(uuid_null("user_id"))
                    .col(string_null("issuer"))
                    .col(uuid_null("organization_id"))
                    .col(text_null("permissions"))
                    .col(big_integer("created_at"))
                    .col(big_integer("expires_at"))
                    .foreign_key(&mut part_of(("sessions", "secret_hash"), ("api_key_secrets", "hash")))
                    .foreign_key(&mut part_of(("sessions", "user_id"), ("users", "id")))
                    .to_owned(),
            )
            .await?;
        manager.create_index(index("sessions", &["secret_hash", "created_at"])).await?;
        manager.create_index(index("sessions", &["user_id", "created_at"])).await?;
        manager.create_index(index("sessions", &["expires_at"])).await?;
        manager
            .create_table(
                Table::create()
                    .table("token_families")
                    .col(pk_uuid("id"))
                    // Not a foreign key: the group of a deleted key has to be in the list of revoked tokens.
                    .col(binary_len("secret_hash", 32))
                    .col(binary_len("permissions_hash", 32))
                    .col(uuid("organization_id"))
                    .col(text("permissions"))
                    .col(big_integer("expires_at"))
                    .to_owned(),
            )
            .await?;
        let of_key = index("token_families", &["secret_hash", "permissions_hash"]).unique().to_owned();
        manager.create_index(of_key).await?;
        manager.create_index(index("token_families", &["organization_id"])).await?;
        manager.create_index(index("token_families", &["expires_at"])).await?;
        let column = uuid_null("session_id");
        manager.alter_table(Table::alter().table("audit_events").add_column(column).to_owned()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.alter_table(Table::alter().table("audit_events").drop_column("session_id").to_owned()).await?;
        for table in ["token_families", "sessions", "identities"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}
