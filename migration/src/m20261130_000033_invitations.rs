//! Open invitations and recovery links.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, binary_len, boolean, pk_uuid, string, string_null, text, uuid, uuid_null},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const TABLE: &str = "invitations";

/// A foreign key with cascading deletion.
fn part_of(column: &'static str, owner: &'static str) -> ForeignKeyCreateStatement {
    ForeignKey::create().from(TABLE, column).to(owner, "id").on_delete(ForeignKeyAction::Cascade).to_owned()
}

fn index(columns: &[&'static str]) -> IndexCreateStatement {
    let mut index = Index::create().name(format!("{TABLE}_by_{}", columns[0])).table(TABLE).to_owned();
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
                    .table(TABLE)
                    .col(pk_uuid("id"))
                    .col(uuid("organization_id"))
                    .col(string("kind"))
                    // SHA-256 of the token.
                    .col(binary_len("token_hash", 32))
                    .col(string("name"))
                    .col(string("email").default("").to_owned())
                    .col(string_null("email_canonical"))
                    .col(text("permissions"))
                    // Ids of permission sets, separated by spaces. Not foreign keys: a set can be deleted meanwhile.
                    .col(text("permission_sets"))
                    // The member of a recovery link.
                    .col(uuid_null("user_id"))
                    // The creator: not foreign keys, because a link is checked against its creator when it is used.
                    .col(uuid("creator_organization_id"))
                    .col(uuid_null("created_by_key"))
                    .col(uuid_null("created_by_user"))
                    .col(boolean("creator_has_own_permissions"))
                    .col(big_integer("created_at"))
                    .col(big_integer("expires_at"))
                    .foreign_key(&mut part_of("organization_id", "organizations"))
                    .foreign_key(&mut part_of("user_id", "users"))
                    .to_owned(),
            )
            .await?;
        manager.create_index(index(&["token_hash"]).unique().to_owned()).await?;
        for columns in [&["organization_id", "id"][..], &["user_id"], &["expires_at"]] {
            manager.create_index(index(columns)).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(TABLE).to_owned()).await
    }
}
