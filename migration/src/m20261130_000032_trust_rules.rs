//! Trust rules, and the token groups whose tokens they have issued.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, boolean, pk_uuid, string, string_null, text, uuid, uuid_null},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const RULES: &str = "trust_rules";
const GROUPS: &str = "token_families";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table(RULES)
                    .col(pk_uuid("id"))
                    .col(uuid("organization_id"))
                    .col(string("name"))
                    .col(string_null("description"))
                    .col(string("issuer"))
                    .col(text("claims"))
                    .col(text("permissions"))
                    .col(text("audiences"))
                    .col(big_integer("ttl_seconds"))
                    .col(boolean("enabled"))
                    .col(big_integer("generation"))
                    .col(big_integer("version"))
                    .col(big_integer("created_at"))
                    .col(big_integer("updated_at"))
                    // An earlier version, which does not know this table, must be able to remove organizations.
                    .foreign_key(
                        ForeignKey::create()
                            .from(RULES, "organization_id")
                            .to("organizations", "id")
                            .on_delete(ForeignKeyAction::Cascade),
                    )
                    .to_owned(),
            )
            .await?;
        let names = Index::create()
            .name("trust_rules_by_name")
            .table(RULES)
            .col("organization_id")
            .col("name")
            .unique()
            .to_owned();
        manager.create_index(names).await?;
        // Not a foreign key: the groups of a deleted rule have to be in the list of revoked tokens.
        let column = uuid_null("trust_rule_id");
        manager.alter_table(Table::alter().table(GROUPS).add_column(column).to_owned()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.alter_table(Table::alter().table(GROUPS).drop_column("trust_rule_id").to_owned()).await?;
        manager.drop_table(Table::drop().table(RULES).to_owned()).await
    }
}
