//! Counting rows up to a bound, in a time that does not depend on how many there are.

use sea_orm::{
    ConnectionTrait,
    sea_query::{Expr, Query, SelectStatement},
};

use crate::db::error::DbFailure;

/// The number of rows of a query, or `max` if there are more.
pub(crate) async fn count_up_to<C: ConnectionTrait>(
    db: &C,
    mut rows: SelectStatement,
    max: u64,
) -> Result<u64, DbFailure> {
    let bounded = rows.limit(max).to_owned();
    let count = Query::select().expr(Expr::cust("count(*)")).from_subquery(bounded, "counted").to_owned();
    let row = db.query_one(&count).await?;
    let count: i64 = row.map_or(Ok(0), |row| row.try_get_by_index(0))?;
    Ok(u64::try_from(count).unwrap_or_default())
}
