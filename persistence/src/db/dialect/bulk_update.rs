//! UPDATEs of many keys, each with its own values. On SQLite one statement, with the values as one JSON parameter, so that it is the
//! same for any number of keys. On PostgreSQL as many as [`RowValues`] divides the rows into.

use std::fmt::Write;

use sea_orm::{ConnectionTrait, DbBackend, Statement, Value, prelude::Uuid};

use super::{Dialect, row_values::RowValues};

/// Integers for the columns of many keys.
pub(crate) struct BulkUpdate {
    ids: Vec<Uuid>,
    columns: Vec<(&'static str, Vec<Option<i64>>)>,
}

impl BulkUpdate {
    /// `columns` have a value for each of `ids`.
    pub(crate) fn new(ids: Vec<Uuid>, columns: Vec<(&'static str, Vec<Option<i64>>)>) -> Self {
        Self { ids, columns }
    }

    /// `UPDATE api_keys SET <assignments> … <guard>`, more than one on PostgreSQL if there are many keys. `guard` is empty or begins
    /// with `AND`. In both, `s.<column>` is the value of the key for that column.
    pub(crate) fn updates<C: ConnectionTrait>(self, db: &C, assignments: &str, guard: &str) -> Vec<Statement> {
        match Dialect::of(db) {
            Dialect::Postgres => self.postgres(assignments, guard),
            Dialect::Sqlite => vec![self.sqlite(assignments, guard)],
        }
    }

    fn postgres(self, assignments: &str, guard: &str) -> Vec<Statement> {
        let row = |n| {
            let numbers = self.columns.iter().map(|(_, values): &(_, Vec<Option<i64>>)| Value::from(values[n]));
            std::iter::once(Value::from(self.ids[n])).chain(numbers).collect()
        };
        let names = std::iter::once("id").chain(self.columns.iter().map(|(name, _)| *name)).collect();
        let query = RowValues::new(names, (0..self.ids.len()).map(row).collect()).query(1);
        // Rows must be updated in the order of their ids, in which all other statements lock them, so that two transactions do not
        // deadlock. The ledger's connections only join row by row (`Plans::RowByRow`), in the order of the sorted values. Locking the
        // rows first would write each of them twice.
        let sql = format!(
            "WITH s AS MATERIALIZED (SELECT * FROM ({}) AS v ORDER BY id) \
             UPDATE api_keys SET {assignments} FROM s WHERE api_keys.id = s.id {guard}",
            query.sql
        );
        let parts = query.parts.iter();
        parts.map(|part| Statement::from_sql_and_values(DbBackend::Postgres, &sql, query.values(part))).collect()
    }

    fn sqlite(self, assignments: &str, guard: &str) -> Statement {
        let field = |(n, (name, _)): (usize, &(&str, Vec<Option<i64>>))| {
            let at = 33 + n * WIDTH;
            format!("CAST(NULLIF(substr(value, {at}, {WIDTH}), '{NULL}') AS INTEGER) AS {name}")
        };
        let fields: Vec<String> = self.columns.iter().enumerate().map(field).collect();
        let sql = format!(
            "WITH s AS (SELECT unhex(substr(value, 1, 32)) AS id, {} FROM json_each(?)) \
             UPDATE api_keys SET {assignments} FROM s WHERE api_keys.id = s.id {guard}",
            fields.join(", "),
        );
        Statement::from_sql_and_values(DbBackend::Sqlite, sql, [Value::from(self.fixed())])
    }

    /// A JSON array of strings for SQLite. Each has the id as 32 hexadecimal digits, then each number at a fixed offset: SQLite
    /// would parse an object again for each member that is read.
    fn fixed(&self) -> String {
        let mut text = String::with_capacity(self.ids.len() * (36 + self.columns.len() * WIDTH) + 2);
        for (n, id) in self.ids.iter().enumerate() {
            text.push_str(if n == 0 { "[\"" } else { "\",\"" });
            let _ = write!(text, "{}", id.simple());
            for (_, column) in &self.columns {
                let _ = match column[n] {
                    Some(value) => write!(text, "{value:0WIDTH$}"),
                    None => write!(text, "{NULL}"),
                };
            }
        }
        text.push_str("\"]");
        text
    }
}

/// Characters of a number in [`BulkUpdate::fixed`]: as many as the longest 64-bit integer has.
const WIDTH: usize = 20;

/// Stands for null in [`BulkUpdate::fixed`]: [`WIDTH`] spaces.
const NULL: &str = "                    ";
