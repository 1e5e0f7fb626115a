//! Candidates: the only rows that can match a condition, found by an index. If they are few, a statement reads and sorts them alone.
//! SQLite has no statistics, so that it would not choose the best of several indexes by itself.

use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect, QueryTrait, Select,
    sea_query::{Expr, ExprTrait, Query, SelectStatement, UnionType},
};

use crate::db::{count::count_up_to, dialect::Dialect, error::DbFailure};

/// The most rows that count as few: sorting them takes milliseconds.
const MAX_FEW: u64 = 10_000;

/// The name of the rows of candidates in a statement, and of their column with the ids.
const CANDIDATES: &str = "candidates";
const CANDIDATE: &str = "candidate_id";

/// More than any query has rows.
const NO_LIMIT: u64 = i64::MAX.unsigned_abs();

/// A query of ids: this column of the rows with `which`.
pub(crate) fn ids<E: EntityTrait>(id: E::Column, which: Condition) -> Select<E> {
    E::find().select_only().column_as(id, CANDIDATE).filter(which)
}

/// One query of these queries of ids, each id once. At least one.
pub(crate) fn union(queries: Vec<SelectStatement>) -> SelectStatement {
    // With a limit, SQLite uses the index of the condition, and not one in which it finds each id once.
    let mut queries = queries.into_iter().map(|query| {
        let all = Query::select().column(CANDIDATE).from_subquery(query, "each").limit(NO_LIMIT).to_owned();
        Query::select().column(CANDIDATE).from_subquery(all, "all").to_owned()
    });
    let mut all = queries.next().expect("at least one query");
    all.distinct();
    for query in queries {
        all.union(UnionType::Distinct, query);
    }
    all
}

/// Whether these queries have few rows together.
pub(crate) async fn are_few<C: ConnectionTrait>(db: &C, queries: &[SelectStatement]) -> Result<bool, DbFailure> {
    let mut count = 0;
    for query in queries {
        count += count_up_to(db, query.clone(), MAX_FEW + 1 - count).await?;
        if count > MAX_FEW {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The rows of a query whose id is among these.
pub(crate) fn among<E: EntityTrait>(
    mut rows: Select<E>,
    id: E::Column,
    candidates: SelectStatement,
    dialect: Dialect,
) -> Select<E> {
    let of_row = Expr::col((id.entity_name(), id));
    if let Some(is_candidate) = dialect.is_any_of(of_row.clone(), &candidates) {
        return rows.filter(is_candidate);
    }
    QueryTrait::query(&mut rows)
        .from_clear()
        .from_subquery(candidates, CANDIDATES)
        .cross_join(E::default().table_ref());
    rows.filter(of_row.equals((CANDIDATES, CANDIDATE)))
}
