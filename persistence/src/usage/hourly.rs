//! Counts of verifies by hour and outcome: added up in memory, and stored many in one statement.

use std::collections::BTreeMap;

use async_trait::async_trait;
use domain::{
    Outage,
    clock::Timestamp,
    id::{KeyId, OrganizationId},
    keys::{
        key_scope::KeyScope,
        usage::{DayCount, RankedCounts, Ranking},
    },
    ports::UsageLog,
    usage::{Count, HourBucket, Outcome, Period},
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, Statement, Value, prelude::Uuid,
};

use crate::{
    database::Database,
    db::{dialect::Dialect, error::DbFailure},
    rows::{
        convert,
        entity::{api_key_usage, organization_usage},
    },
};

/// Verifies by hour, key or organization, and outcome. In the order in which rows are locked.
pub(super) type Counts = BTreeMap<(HourBucket, Uuid, Outcome), u64>;

/// The table of the counts: of keys, or of organizations.
#[derive(Clone, Copy)]
pub(super) enum UsageTable {
    Keys,
    Organizations,
}

impl UsageTable {
    const fn table(self) -> (&'static str, &'static str) {
        match self {
            Self::Keys => ("api_key_usage", "api_key_id"),
            Self::Organizations => ("organization_usage", "organization_id"),
        }
    }
}

/// Adds to the stored counts; part of a transaction. The counts are a JSON parameter, so that the statement is the same for any
/// number of them.
pub(super) async fn add<C: ConnectionTrait>(db: &C, of: UsageTable, counts: &Counts) -> Result<(), DbErr> {
    if counts.is_empty() {
        return Ok(());
    }
    let (table, id) = of.table();
    let rows = counts.iter().map(|((hour, id, outcome), count)| {
        let (hour, outcome) = (hour.0, outcome.number());
        format!(r#"{{"hour":{hour},"id":"{}","outcome":{outcome},"count":{count}}}"#, id.simple())
    });
    let arrays = Dialect::of(db).json_arrays(rows.collect());
    let backend = db.get_database_backend();
    let rows = Dialect::of(db).usage_rows();
    let sql = format!(
        "INSERT INTO {table} (hour, {id}, outcome, count) {rows} \
         ON CONFLICT (hour, {id}, outcome) DO UPDATE SET count = {table}.count + excluded.count"
    );
    for json in arrays {
        db.execute_raw(Statement::from_sql_and_values(backend, &sql, [Value::from(json)])).await?;
    }
    Ok(())
}

#[async_trait]
impl UsageLog for Database {
    async fn counts(
        &self,
        organization: OrganizationId,
        key: Option<KeyId>,
        period: Period,
    ) -> Result<Vec<Count>, Outage> {
        let rows = match key {
            Some(key) => self.counts_of_key(key, period).await?,
            None => self.counts_of_organization(organization, period).await?,
        };
        let counts = rows.into_iter().map(|(hour, outcome, count)| {
            Some(Count {
                hour: HourBucket(hour),
                outcome: Outcome::from_number(outcome)?,
                count: convert::count(count)?,
            })
        });
        // Outcomes of a newer version are left out.
        Ok(counts.flatten().collect())
    }

    async fn counts_by_day(
        &self,
        scope: KeyScope,
        keys: &[KeyId],
        period: Period,
    ) -> Result<BTreeMap<KeyId, Vec<DayCount>>, Outage> {
        Ok(self.count_by_day(scope, keys, period).await?)
    }

    async fn rank(&self, scope: KeyScope, ranking: &Ranking) -> Result<Option<Vec<RankedCounts>>, Outage> {
        Ok(self.rank_keys(scope, ranking).await?)
    }
}

impl Database {
    async fn counts_of_key(&self, key: KeyId, period: Period) -> Result<Vec<(i64, i16, i64)>, DbFailure> {
        let rows = api_key_usage::Entity::find()
            // Hour by hour, because between the hours of a key the index has those of all other keys.
            .filter(api_key_usage::Column::Hour.is_in(period.hours().map(|hour| hour.0)))
            .filter(api_key_usage::Column::ApiKeyId.eq(key.uuid()))
            .order_by_asc(api_key_usage::Column::Hour)
            .all(&self.pools.read)
            .await?;
        Ok(rows.into_iter().map(|row| (row.hour, row.outcome, row.count)).collect())
    }

    async fn counts_of_organization(
        &self,
        organization: OrganizationId,
        period: Period,
    ) -> Result<Vec<(i64, i16, i64)>, DbFailure> {
        let rows = organization_usage::Entity::find()
            .filter(organization_usage::Column::Hour.is_in(period.hours().map(|hour| hour.0)))
            .filter(organization_usage::Column::OrganizationId.eq(organization.uuid()))
            .order_by_asc(organization_usage::Column::Hour)
            .all(&self.pools.read)
            .await?;
        Ok(rows.into_iter().map(|row| (row.hour, row.outcome, row.count)).collect())
    }

    /// Purges counts of the hours before that of `before` (milliseconds since the Unix epoch), and of the days before its day, in
    /// batches. Returns the number of rows.
    pub(crate) async fn purge_usage(&self, before: i64) -> Result<u64, DbFailure> {
        let before = HourBucket::of(Timestamp::from_millis(before));
        let (hour, day) = (format!("hour < {}", before.0), format!("day < {}", before.day().0));
        let backend = self.pools.write.get_database_backend();
        let unless_locked = Dialect::of(&self.pools.write).skip_locked();
        let mut removed = 0;
        for (table, key, is_due) in [
            ("api_key_usage", "hour, api_key_id, outcome", &hour),
            ("organization_usage", "hour, organization_id, outcome", &hour),
            ("api_key_usage_days", "day, organization_id, outcome, api_key_id", &day),
        ] {
            let batch = async |size: u64| {
                let sql = format!(
                    "DELETE FROM {table} WHERE ({key}) IN \
                     (SELECT {key} FROM {table} WHERE {is_due} LIMIT {size} {unless_locked})"
                );
                let statement = Statement::from_string(backend, sql);
                Ok(self.pools.write.execute_raw(statement).await?.rows_affected())
            };
            removed += self.in_batches(batch).await?;
        }
        Ok(removed)
    }
}
