//! Counts by hour and outcome: added up in memory, stored with one statement for many.

use std::collections::BTreeMap;

use async_trait::async_trait;
use domain::{
    Outage,
    clock::Timestamp,
    id::{KeyId, OrganizationId},
    ports::UsageLog,
    usage::{Count, Hour, Outcome, Period},
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, QueryFilter, QueryOrder, Statement, Value,
    prelude::Uuid,
};

use crate::{
    Store, convert,
    entity::{api_key_usage, organization_usage},
    outage::Failure,
};

/// So many verifies, by hour, key or organization, and outcome: in the order in which rows are locked.
pub(super) type Counts = BTreeMap<(Hour, Uuid, Outcome), u64>;

/// Of whom.
#[derive(Clone, Copy)]
pub(super) enum Of {
    Keys,
    Organizations,
}

impl Of {
    const fn table(self) -> (&'static str, &'static str) {
        match self {
            Self::Keys => ("api_key_usage", "api_key_id"),
            Self::Organizations => ("organization_usage", "organization_id"),
        }
    }
}

/// Adds to what is stored; part of a transaction. The rows come in as one JSON parameter, so that the statement is the same for
/// any number of them.
pub(super) async fn add<C: ConnectionTrait>(db: &C, of: Of, counts: &Counts) -> Result<(), DbErr> {
    if counts.is_empty() {
        return Ok(());
    }
    let (table, id) = of.table();
    let rows = counts.iter().map(|((hour, id, outcome), count)| {
        let (hour, outcome) = (hour.0, outcome.number());
        format!(r#"{{"hour":{hour},"id":"{}","outcome":{outcome},"count":{count}}}"#, id.simple())
    });
    let json = format!("[{}]", rows.collect::<Vec<_>>().join(","));
    let backend = db.get_database_backend();
    let rows = match backend {
        DbBackend::Postgres => {
            "SELECT hour, id, outcome, count FROM jsonb_to_recordset($1::jsonb) \
             AS s(hour bigint, id uuid, outcome smallint, count bigint) ORDER BY hour, id, outcome"
        }
        _ => {
            "SELECT value ->> 'hour', unhex(value ->> 'id'), value ->> 'outcome', value ->> 'count' FROM json_each(?) \
             WHERE true"
        }
    };
    let sql = format!(
        "INSERT INTO {table} (hour, {id}, outcome, count) {rows} \
         ON CONFLICT (hour, {id}, outcome) DO UPDATE SET count = {table}.count + excluded.count"
    );
    db.execute_raw(Statement::from_sql_and_values(backend, sql, [Value::from(json)])).await?;
    Ok(())
}

#[async_trait]
impl UsageLog for Store {
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
            Some(Count { hour: Hour(hour), outcome: Outcome::from_number(outcome)?, count: convert::count(count)? })
        });
        // An outcome that a newer version counts is not known here.
        Ok(counts.flatten().collect())
    }
}

impl Store {
    async fn counts_of_key(&self, key: KeyId, period: Period) -> Result<Vec<(i64, i16, i64)>, Failure> {
        let rows = api_key_usage::Entity::find()
            // Each by itself: between the hours of a key lie those of all others.
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
    ) -> Result<Vec<(i64, i16, i64)>, Failure> {
        let rows = organization_usage::Entity::find()
            .filter(organization_usage::Column::Hour.is_in(period.hours().map(|hour| hour.0)))
            .filter(organization_usage::Column::OrganizationId.eq(organization.uuid()))
            .order_by_asc(organization_usage::Column::Hour)
            .all(&self.pools.read)
            .await?;
        Ok(rows.into_iter().map(|row| (row.hour, row.outcome, row.count)).collect())
    }

    /// Removes what was counted in the hours before that of `before`, in pieces. Answers how many rows that were.
    pub(crate) async fn remove_old_usage(&self, before: i64) -> Result<u64, Failure> {
        let before = Hour::of(Timestamp::from_millis(before)).0;
        let backend = self.pools.write.get_database_backend();
        // Rows that another node is removing are left to it.
        let unless_locked = if backend == DbBackend::Postgres { "FOR UPDATE SKIP LOCKED" } else { "" };
        let mut removed = 0;
        for of in [Of::Keys, Of::Organizations] {
            let (table, id) = of.table();
            let piece = async |size: u64| {
                let sql = format!(
                    "DELETE FROM {table} WHERE (hour, {id}, outcome) IN \
                     (SELECT hour, {id}, outcome FROM {table} WHERE hour < {before} LIMIT {size} {unless_locked})"
                );
                let statement = Statement::from_string(backend, sql);
                Ok(self.pools.write.execute_raw(statement).await?.rows_affected())
            };
            removed += self.in_pieces(piece).await?;
        }
        Ok(removed)
    }
}
