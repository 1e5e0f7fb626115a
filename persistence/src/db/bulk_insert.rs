//! Inserts many rows.

use sea_orm::{
    ActiveModelBehavior, ActiveModelTrait, ActiveValue, ConnectionTrait, DbBackend, DbErr, EntityName, EntityTrait,
    IdenStatic, Iterable, Statement, Value,
};

use crate::db::{
    MAX_ROWS_PER_STATEMENT,
    dialect::{Dialect, row_values::RowValues},
};

/// Inserts rows, all with the same columns; part of a transaction. On PostgreSQL a statement has as many rows as may be sent at once.
pub(crate) async fn insert_all<A, C>(db: &C, rows: Vec<A>) -> Result<(), DbErr>
where
    A: ActiveModelTrait + ActiveModelBehavior + Send,
    C: ConnectionTrait,
{
    if !Dialect::of(db).takes_row_values() {
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            let chunk = rows.by_ref().take(MAX_ROWS_PER_STATEMENT);
            A::Entity::insert_many(chunk).exec_without_returning(db).await?;
        }
        return Ok(());
    }
    for (sql, values) in postgres_inserts(&rows, 1) {
        db.execute_raw(Statement::from_sql_and_values(DbBackend::Postgres, sql, values)).await?;
    }
    Ok(())
}

/// The statements that insert rows on PostgreSQL, with their parameters, which begin with number `first`.
pub(crate) fn postgres_inserts<A: ActiveModelTrait>(rows: &[A], first: usize) -> Vec<(String, Vec<Value>)> {
    let columns: Vec<_> = match rows.first() {
        Some(row) => <A::Entity as EntityTrait>::Column::iter().filter(|column| row.get(*column).is_set()).collect(),
        None => return Vec::new(),
    };
    let value = |row: &A, column| match row.get(column) {
        ActiveValue::Set(value) | ActiveValue::Unchanged(value) => value,
        ActiveValue::NotSet => unreachable!("all rows have the same columns"),
    };
    let values = rows.iter().map(|row| columns.iter().map(|column| value(row, *column)).collect()).collect();
    let names: Vec<&'static str> = columns.iter().map(IdenStatic::as_str).collect();
    let into = format!("{} ({})", A::Entity::default().table_name(), names.join(", "));
    let query = RowValues::new(names, values).query(first);
    let sql = format!("INSERT INTO {into} {}", query.sql);
    query.parts.iter().map(|part| (sql.clone(), query.values(part).collect())).collect()
}
