//! The audit log becomes a hash chain: each event has a sequence number in its organization's log, and a hash over all earlier
//! events. Events from before this migration have neither.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, big_integer_null, binary_len, pk_uuid, string_null},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in [
            big_integer_null("seq"),
            ColumnDef::new("hash").binary_len(32).null().to_owned(),
            string_null("actor"),
            string_null("outcome"),
            string_null("reason"),
            big_integer("count").default(1).to_owned(),
        ] {
            manager.alter_table(Table::alter().table("audit_events").add_column(column).to_owned()).await?;
        }
        let index = |name: &'static str, column: &'static str| {
            Index::create().name(name).table("audit_events").col("organization_id").col(column).to_owned()
        };
        manager.create_index(index("audit_events_by_seq", "seq").unique().to_owned()).await?;
        manager.create_index(index("audit_events_by_target", "target_id").col("id").to_owned()).await?;
        manager
            .create_table(
                Table::create()
                    .table("audit_chains")
                    // Not a foreign key: the log is kept after the organization is removed.
                    .col(pk_uuid("organization_id"))
                    // The last event that retention pruned; zeros if there is none.
                    .col(big_integer("begin_seq"))
                    .col(binary_len("begin_hash", 32))
                    // No stored event is older.
                    .col(big_integer("begin_at"))
                    // The last event.
                    .col(big_integer("end_seq"))
                    .col(binary_len("end_hash", 32))
                    .col(big_integer("end_at"))
                    .to_owned(),
            )
            .await?;
        for column in ["begin_at", "end_at"] {
            let name = format!("audit_chains_by_{column}");
            manager.create_index(Index::create().name(name).table("audit_chains").col(column).to_owned()).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("audit_chains").to_owned()).await?;
        for name in ["audit_events_by_target", "audit_events_by_seq"] {
            manager.drop_index(Index::drop().name(name).table("audit_events").to_owned()).await?;
        }
        for column in ["count", "reason", "outcome", "actor", "hash", "seq"] {
            manager.alter_table(Table::alter().table("audit_events").drop_column(column).to_owned()).await?;
        }
        Ok(())
    }
}
