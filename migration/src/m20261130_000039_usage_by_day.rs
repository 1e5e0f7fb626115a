//! Verifications by day, organization, outcome and key: for charts of many keys. Filled with the days of the counts by hour, of which
//! the last [`FILLED_DAYS`] can be asked for. What an earlier version counts afterwards is only in the counts by hour.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, small_integer, uuid},
    sea_orm::{ConnectionTrait, DbBackend, Statement},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const TABLE: &str = "api_key_usage_days";

/// The most days that are filled, each by one statement.
const FILLED_DAYS: i64 = 31;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let (db, backend) = (manager.get_connection(), manager.get_database_backend());
        let mut create = Table::create();
        create
            .table(TABLE)
            .col(big_integer("day"))
            // Not foreign keys: counts of deleted keys and organizations are kept.
            .col(uuid("organization_id"))
            .col(small_integer("outcome"))
            .col(uuid("api_key_id"))
            .col(big_integer("count"))
            // The day is first, because days are purged together; a ranking reads the range of an organization in each of its days.
            .primary_key(Index::create().col("day").col("organization_id").col("outcome").col("api_key_id"));
        if backend == DbBackend::Sqlite {
            create.extra("WITHOUT ROWID");
        }
        manager.create_table(create).await?;
        let newest = Statement::from_string(backend, "SELECT max(hour) FROM api_key_usage");
        let newest = db.query_one_raw(newest).await?;
        let newest: Option<i64> = newest.map_or(Ok(None), |row| row.try_get_by_index(0))?;
        let Some(last) = newest.map(|hour| hour.div_euclid(24)) else { return Ok(()) };
        for day in last - FILLED_DAYS + 1..=last {
            // Only keys that are known have an organization.
            let fill = format!(
                "INSERT INTO {TABLE} (day, organization_id, outcome, api_key_id, count) \
                 SELECT {day}, k.organization_id, u.outcome, u.api_key_id, CAST(SUM(u.count) AS bigint) \
                 FROM api_key_usage u JOIN api_keys k ON k.id = u.api_key_id \
                 WHERE u.hour >= {} AND u.hour < {} GROUP BY k.organization_id, u.outcome, u.api_key_id",
                day * 24,
                (day + 1) * 24
            );
            db.execute_raw(Statement::from_string(backend, fill)).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(TABLE).to_owned()).await
    }
}
