//! Counts of verifies by day and key: of several keys together, and rankings of keys. Rows of a day and organization are stored
//! together, so a ranking reads only the counts of its organization: one for up to 24 by hour.

use std::collections::BTreeMap;

use domain::{
    id::{ExternalId, KeyId, OrganizationId, UserId},
    keys::{
        api_key::KeyName,
        key_scope::KeyScope,
        usage::{DayCount, MAX_RANKED_COUNTS, RankBy, Ranked, RankedCounts, Ranking},
    },
    usage::{DayBucket, Outcome, Period},
    validated_string::ValidationError,
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, ExprTrait, Order, QueryFilter, QueryResult, QuerySelect,
    Statement, Value,
    prelude::Uuid,
    sea_query::{Alias, Expr, Query, SelectStatement, SimpleExpr},
};

use crate::{
    database::Database,
    db::{count::count_up_to, dialect::Dialect, error::DbFailure},
    rows::{convert, entity::api_key, scope::in_scope},
};

/// Verifies by day, organization, outcome and key. In the order in which rows are locked.
pub(super) type DailyCounts = BTreeMap<(DayBucket, Uuid, Outcome, Uuid), u64>;

const TABLE: &str = "api_key_usage_days";
const DAY: &str = "day";
const ORGANIZATION: &str = "organization_id";
const OUTCOME: &str = "outcome";
const KEY: &str = "api_key_id";
const COUNT: &str = "count";

/// The sum of all outcomes that count in a ranking.
const TOTAL: &str = "total";

/// Adds to the stored counts; part of a transaction. The counts are a JSON parameter, as those by hour.
pub(super) async fn add<C: ConnectionTrait>(db: &C, counts: &DailyCounts) -> Result<(), DbErr> {
    if counts.is_empty() {
        return Ok(());
    }
    let rows = counts.iter().map(|((day, organization, outcome, key), count)| {
        let (day, organization, outcome, key) = (day.0, organization.simple(), outcome.number(), key.simple());
        format!(r#"{{"day":{day},"organization":"{organization}","outcome":{outcome},"id":"{key}","count":{count}}}"#)
    });
    let arrays = Dialect::of(db).json_arrays(rows.collect());
    let rows = Dialect::of(db).daily_usage_rows();
    let sql = format!(
        "INSERT INTO {TABLE} (day, organization_id, outcome, api_key_id, count) {rows} \
         ON CONFLICT (day, organization_id, outcome, api_key_id) DO UPDATE SET count = {TABLE}.count + excluded.count"
    );
    for json in arrays {
        db.execute_raw(Statement::from_sql_and_values(db.get_database_backend(), &sql, [Value::from(json)])).await?;
    }
    Ok(())
}

/// Selects the counts of an organization. The caller adds the columns.
fn counts_of(organization: OrganizationId, period: Period, outcomes: &[Outcome]) -> SelectStatement {
    let mut select = Query::select();
    select
        .from(TABLE)
        // One by one: the key of the table begins with the day, then the organization and the outcome.
        .and_where(Expr::col(DAY).is_in(period.begun_days().map(|day| day.0)))
        .and_where(Expr::col(ORGANIZATION).eq(organization.uuid()))
        .and_where(Expr::col(OUTCOME).is_in(outcomes.iter().map(|outcome| outcome.number())));
    select
}

impl Database {
    pub(super) async fn count_by_day(
        &self,
        scope: KeyScope,
        keys: &[KeyId],
        period: Period,
    ) -> Result<BTreeMap<KeyId, Vec<DayCount>>, DbFailure> {
        let db = &self.pools.read;
        let known: Vec<Uuid> = api_key::Entity::find()
            .select_only()
            .column(api_key::Column::Id)
            .filter(in_scope(scope))
            .filter(api_key::Column::Id.is_in(keys.iter().map(|key| key.uuid())))
            .into_tuple()
            .all(db)
            .await?;
        let mut counts: BTreeMap<KeyId, Vec<DayCount>> =
            known.iter().map(|key| (KeyId::from_uuid(*key), Vec::new())).collect();
        let outcomes: Vec<Outcome> = Outcome::all().collect();
        let mut select = counts_of(scope.organization, period, &outcomes);
        select.columns([KEY, DAY, OUTCOME, COUNT]).and_where(Expr::col(KEY).is_in(known));
        for row in db.query_all(&select).await? {
            let key = KeyId::from_uuid(row.try_get_by_index(0)?);
            let (day, outcome, count): (i64, i16, i64) =
                (row.try_get_by_index(1)?, row.try_get_by_index(2)?, row.try_get_by_index(3)?);
            let outcome = Outcome::from_number(outcome).zip(convert::count(count));
            if let (Some((outcome, count)), Some(of_key)) = (outcome, counts.get_mut(&key)) {
                of_key.push(DayCount { day: DayBucket(day), outcome, count });
            }
        }
        Ok(counts)
    }

    pub(super) async fn rank_keys(
        &self,
        scope: KeyScope,
        ranking: &Ranking,
    ) -> Result<Option<Vec<RankedCounts>>, DbFailure> {
        let db = &self.pools.read;
        let outcomes: Vec<Outcome> = match ranking.outcomes {
            None => Outcome::all().collect(),
            Some(outcomes) => outcomes.iter().collect(),
        };
        let mut counted = counts_of(scope.organization, ranking.period, &outcomes);
        counted.expr(Expr::value(1));
        if count_up_to(db, counted, MAX_RANKED_COUNTS + 1).await? > MAX_RANKED_COUNTS {
            return Ok(None);
        }
        let rows = db.query_all(&rank(scope, ranking, &outcomes)).await?;
        Ok(Some(rows.iter().map(|row| ranked(row, ranking.by, &outcomes)).collect::<Result<_, _>>()?))
    }
}

/// The column with the sum of an outcome.
fn sum_column(outcome: Outcome) -> Alias {
    Alias::new(format!("outcome_{}", outcome.number()))
}

/// A sum as an integer: that of PostgreSQL has a type of its own.
fn sum(column: &str) -> SimpleExpr {
    Expr::cust(format!("CAST(SUM({column}) AS bigint)"))
}

/// Selects what is ranked ([`ranked_columns`]), and the sum of each outcome.
fn rank(scope: KeyScope, ranking: &Ranking, outcomes: &[Outcome]) -> SelectStatement {
    // First the sums of each key, so that the rows of keys are read once for each.
    let mut by_key = counts_of(scope.organization, ranking.period, outcomes);
    by_key.column(KEY).expr_as(sum(COUNT), TOTAL).group_by_col(KEY);
    for outcome in outcomes {
        let number = outcome.number();
        let sum = format!("CAST(COALESCE(SUM(count) FILTER (WHERE outcome = {number}), 0) AS bigint)");
        by_key.expr_as(Expr::cust(sum), sum_column(*outcome));
    }
    let of_key = |column: api_key::Column| Expr::col((api_key::Entity, column));
    let mut select = Query::select();
    select
        .from_subquery(by_key, "used")
        // SQLite has no statistics, and would begin with all keys of the organization: it carries out a cross join in this order.
        .cross_join(api_key::Entity)
        .and_where(of_key(api_key::Column::Id).equals(("used", KEY)))
        .cond_where(in_scope(scope))
        .limit(ranking.limit);
    let columns = ranked_columns(ranking.by);
    for column in columns {
        select.expr(of_key(*column));
    }
    let is_key = ranking.by == RankBy::ApiKey;
    if !is_key {
        select.group_by_columns(columns.iter().map(|column| (api_key::Entity, *column)));
    }
    let total = if is_key { Expr::col(("used", TOTAL)) } else { sum("used.total") };
    for outcome in outcomes {
        let column = sum_column(*outcome);
        select.expr(if is_key { Expr::col(("used", column)) } else { sum(&format!("used.{}", column.0)) });
    }
    select.order_by_expr(total, Order::Desc).order_by((api_key::Entity, columns[0]), Order::Asc);
    select
}

/// The columns of keys that a ranking returns, in the order in which [`ranked`] reads them. The first one identifies an entry.
const fn ranked_columns(by: RankBy) -> &'static [api_key::Column] {
    match by {
        RankBy::ApiKey => &[
            api_key::Column::Id,
            api_key::Column::Name,
            api_key::Column::Start,
            api_key::Column::UserId,
            api_key::Column::ExternalId,
        ],
        RankBy::User => &[api_key::Column::UserId],
        RankBy::ExternalId => &[api_key::Column::ExternalId],
    }
}

fn ranked(row: &QueryResult, by: RankBy, outcomes: &[Outcome]) -> Result<RankedCounts, DbFailure> {
    let user = |index| Ok::<_, DbErr>(row.try_get_by_index::<Option<Uuid>>(index)?.map(UserId::from_uuid));
    let external_id = |index, key| {
        let text: Option<String> = row.try_get_by_index(index)?;
        let broken = |_: ValidationError| convert::broken("api_keys", "external_id", key);
        Ok::<_, DbFailure>(text.as_deref().map(ExternalId::stored).transpose().map_err(broken)?)
    };
    let ranked = match by {
        RankBy::ApiKey => {
            let (id, name): (Uuid, Option<String>) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
            let broken = |_: ValidationError| convert::broken("api_keys", "name", id);
            Ranked::Key {
                id: KeyId::from_uuid(id),
                name: name.as_deref().map(KeyName::stored).transpose().map_err(broken)?,
                start: row.try_get_by_index(2)?,
                user: user(3)?,
                external_id: external_id(4, id)?,
            }
        }
        RankBy::User => Ranked::User(user(0)?),
        RankBy::ExternalId => Ranked::ExternalId(external_id(0, Uuid::nil())?),
    };
    let mut counts = BTreeMap::new();
    for (index, outcome) in outcomes.iter().enumerate() {
        let count: i64 = row.try_get_by_index(ranked_columns(by).len() + index)?;
        if let Some(count) = convert::count(count).filter(|count| *count > 0) {
            counts.insert(*outcome, count);
        }
    }
    Ok(RankedCounts { ranked, counts })
}

#[cfg(test)]
mod tests {
    use domain::{clock::Timestamp, usage::Outcomes};
    use tempfile::TempDir;

    use super::*;
    use crate::{Store, retention::tests::settings};

    /// The plan of a statement on SQLite, step by step.
    async fn plan(store: &Store, select: &SelectStatement) -> Vec<String> {
        let db = &store.database.pools.read;
        let mut statement = db.get_database_backend().build(select);
        statement.sql.insert_str(0, "EXPLAIN QUERY PLAN ");
        let rows = db.query_all_raw(statement).await.expect("a plan");
        rows.iter().map(|row| row.try_get("", "detail").expect("a text")).collect()
    }

    #[tokio::test]
    async fn a_ranking_reads_only_the_days_of_its_organization_and_each_key_once() {
        let directory = TempDir::new().expect("a folder");
        let store = Store::connect(&settings(&directory)).await.expect("a new database");
        store.migrate().await.expect("a new schema");
        let scope = KeyScope::whole(OrganizationId::from_uuid(Uuid::from_u128(1)));
        let period = Period::days(None, None, Timestamp::from_millis(0), 30).expect("a period");
        for by in RankBy::ALL {
            for outcomes in [None, Some(Outcomes::Refused), Some(Outcomes::RateLimited)] {
                let ranking = Ranking { by, period, outcomes, limit: 10 };
                let outcomes: Vec<Outcome> =
                    outcomes.map_or_else(|| Outcome::all().collect(), |one| one.iter().collect());
                let plan = plan(&store, &rank(scope, &ranking, &outcomes)).await;
                let has = |step: &str| plan.iter().any(|line| line.starts_with(step));
                let range = "SEARCH api_key_usage_days USING PRIMARY KEY (day=? AND organization_id=? AND outcome=?)";
                assert!(has(range), "{ranking:?}: {plan:#?}");
                assert!(
                    has("SEARCH api_keys USING INDEX sqlite_autoindex_api_keys_1 (id=?)"),
                    "{ranking:?}: {plan:#?}"
                );
            }
        }
        store.close().await;
    }
}
