//! Organizations, users and memberships.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, pk_uuid, string, string_null, string_uniq, text, uuid},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("organizations")
                    .col(pk_uuid("id"))
                    .col(string_null("name"))
                    .col(string("kind"))
                    .col(big_integer("created_at"))
                    .to_owned(),
            )
            .await?;
        // At most one platform organization, also with concurrent inserts.
        manager
            .create_index(
                Index::create()
                    .name("organizations_one_platform")
                    .table("organizations")
                    .col("kind")
                    .unique()
                    .cond_where(Expr::col("kind").eq("platform"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("users")
                    .col(pk_uuid("id"))
                    .col(string("name"))
                    .col(string("email"))
                    .col(string_uniq("email_canonical"))
                    .col(big_integer("created_at"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("memberships")
                    .col(uuid("organization_id"))
                    .col(uuid("user_id"))
                    .col(text("permissions"))
                    .col(big_integer("created_at"))
                    .primary_key(Index::create().col("organization_id").col("user_id"))
                    .foreign_key(
                        ForeignKey::create()
                            .from("memberships", "organization_id")
                            .to("organizations", "id")
                            .on_delete(ForeignKeyAction::Cascade),
                    )
                    .foreign_key(
                        ForeignKey::create()
                            .from("memberships", "user_id")
                            .to("users", "id")
                            .on_delete(ForeignKeyAction::Cascade),
                    )
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(Index::create().name("memberships_by_user").table("memberships").col("user_id").to_owned())
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["memberships", "users", "organizations"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}
