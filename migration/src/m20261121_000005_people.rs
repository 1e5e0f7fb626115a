//! Organizations get external ids, caps, suspension and permission sets; and the audit log.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, big_integer_null, pk_uuid, string, string_null, text, uuid, uuid_null},
    sea_orm::ConnectionTrait,
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// The table `name`, which attaches permission sets to the rows of the table `owner`. `columns` are pairs of a column of this table
/// and the column of the owner's primary key that it refers to.
fn attachments(
    name: &'static str,
    owner: &'static str,
    columns: &[(&'static str, &'static str)],
) -> TableCreateStatement {
    let (mut table, mut key) = (Table::create(), Index::create());
    let mut to_owner = ForeignKey::create();
    to_owner.from_tbl(name).to_tbl(owner).on_delete(ForeignKeyAction::Cascade);
    table.table(name);
    for (column, of_owner) in columns {
        table.col(uuid(*column));
        key.col(*column);
        to_owner.from_col(*column).to_col(*of_owner);
    }
    let mut to_set = ForeignKey::create();
    to_set.from(name, "permission_set_id").to("permission_sets", "id").on_delete(ForeignKeyAction::Cascade);
    table.col(uuid("permission_set_id")).primary_key(key.col("permission_set_id"));
    table.foreign_key(&mut to_owner).foreign_key(&mut to_set).to_owned()
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // `api_keys` first, in the order in which readers lock the tables: in another order they could deadlock.
        manager.alter_table(Table::alter().table("api_keys").add_column(string_null("external_id")).to_owned()).await?;
        for column in [
            string_null("external_id"),
            big_integer_null("suspended_at"),
            big_integer_null("most_keys"),
            big_integer_null("most_members"),
            big_integer_null("most_sets"),
            // Updated with each change, because counting up to a million rows for each new key would be too slow.
            big_integer("key_count").default(0).to_owned(),
        ] {
            manager.alter_table(Table::alter().table("organizations").add_column(column).to_owned()).await?;
        }
        manager
            .get_connection()
            .execute_unprepared(
                "UPDATE organizations SET key_count = \
                 (SELECT count(*) FROM api_keys WHERE organization_id = organizations.id)",
            )
            .await?;
        let unique = |name: &'static str, table: &'static str, columns: &[&'static str]| {
            let mut index = Index::create().name(name).table(table).unique().to_owned();
            for column in columns {
                index.col(*column);
            }
            index
        };
        manager.create_index(unique("organizations_by_external_id", "organizations", &["external_id"])).await?;
        manager
            .create_table(
                Table::create()
                    .table("permission_sets")
                    .col(pk_uuid("id"))
                    .col(uuid("organization_id"))
                    .col(string("name"))
                    .col(text("permissions"))
                    .col(big_integer("created_at"))
                    .col(big_integer("updated_at"))
                    .foreign_key(
                        ForeignKey::create()
                            .from("permission_sets", "organization_id")
                            .to("organizations", "id")
                            .on_delete(ForeignKeyAction::Cascade),
                    )
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(unique("permission_sets_by_name", "permission_sets", &["organization_id", "name"]))
            .await?;
        let (keys, members) = ("api_key_permission_sets", "membership_permission_sets");
        manager.create_table(attachments(keys, "api_keys", &[("api_key_id", "id")])).await?;
        let columns = [("organization_id", "organization_id"), ("user_id", "user_id")];
        manager.create_table(attachments(members, "memberships", &columns)).await?;
        for table in [keys, members] {
            let index = format!("{table}_by_set");
            manager.create_index(Index::create().name(index).table(table).col("permission_set_id").to_owned()).await?;
        }
        manager
            .create_table(
                Table::create()
                    .table("audit_events")
                    .col(ColumnDef::new("id").big_integer().not_null().auto_increment().primary_key())
                    // Not a foreign key: the log is kept after the organization is removed.
                    .col(uuid("organization_id"))
                    .col(big_integer("at"))
                    .col(string("action"))
                    .col(uuid("target_id"))
                    .col(uuid_null("actor_key_id"))
                    .col(uuid_null("actor_user_id"))
                    .col(string_null("permission"))
                    .col(string_null("client"))
                    .col(string_null("request_id"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(
                Index::create()
                    .name("audit_events_by_organization")
                    .table("audit_events")
                    .col("organization_id")
                    .col("id")
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["audit_events", "membership_permission_sets", "api_key_permission_sets", "permission_sets"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        manager.alter_table(Table::alter().table("api_keys").drop_column("external_id").to_owned()).await?;
        manager
            .drop_index(Index::drop().name("organizations_by_external_id").table("organizations").to_owned())
            .await?;
        for column in ["external_id", "suspended_at", "most_keys", "most_members", "most_sets", "key_count"] {
            manager.alter_table(Table::alter().table("organizations").drop_column(column).to_owned()).await?;
        }
        Ok(())
    }
}
