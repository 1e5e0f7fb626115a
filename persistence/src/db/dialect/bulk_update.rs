//! One UPDATE of many keys, each with its own values. The values are one JSON parameter (`json_each` on SQLite,
//! `jsonb_to_recordset` on PostgreSQL), so that the statement is the same for any number of keys. PostgreSQL's `unnest` of arrays
//! is not used: the database layer cannot bind arrays that contain nulls.

use std::fmt::Write;

use sea_orm::{ConnectionTrait, DbBackend, Statement, Value, prelude::Uuid};

use super::Dialect;

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

    /// An `UPDATE api_keys SET <assignments> … <guard> <returning>`. `guard` is empty or begins with `AND`, `returning` is empty or
    /// begins with `RETURNING`. In all three, `s.<column>` is the value of the key for that column.
    pub(crate) fn update<C: ConnectionTrait>(
        self,
        db: &C,
        assignments: &str,
        guard: &str,
        returning: &str,
    ) -> Statement {
        match Dialect::of(db) {
            Dialect::Postgres => self.postgres(assignments, guard, returning),
            Dialect::Sqlite => self.sqlite(assignments, guard, returning),
        }
    }

    fn postgres(self, assignments: &str, guard: &str, returning: &str) -> Statement {
        let names: Vec<String> = self.columns.iter().map(|(name, _)| format!("{name} bigint")).collect();
        // Rows are locked in the order of their ids everywhere, so that two transactions cannot deadlock.
        let sql = format!(
            "WITH s AS (SELECT * FROM jsonb_to_recordset($1::jsonb) AS s(id uuid, {})), \
             locked AS (SELECT id FROM api_keys WHERE id IN (SELECT id FROM s) ORDER BY id FOR UPDATE) \
             UPDATE api_keys SET {assignments} FROM s JOIN locked ON locked.id = s.id WHERE api_keys.id = s.id {guard} \
             {returning}",
            names.join(", "),
        );
        Statement::from_sql_and_values(DbBackend::Postgres, sql, [Value::from(self.json())])
    }

    fn sqlite(self, assignments: &str, guard: &str, returning: &str) -> Statement {
        let field = |(n, (name, _)): (usize, &(&str, Vec<Option<i64>>))| {
            let at = 33 + n * WIDTH;
            format!("CAST(NULLIF(substr(value, {at}, {WIDTH}), '{NULL}') AS INTEGER) AS {name}")
        };
        let fields: Vec<String> = self.columns.iter().enumerate().map(field).collect();
        let sql = format!(
            "WITH s AS (SELECT unhex(substr(value, 1, 32)) AS id, {} FROM json_each(?)) \
             UPDATE api_keys SET {assignments} FROM s WHERE api_keys.id = s.id {guard} {returning}",
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

    /// A JSON array of objects for PostgreSQL, with ids as 32 hexadecimal digits.
    fn json(&self) -> String {
        let mut text = String::from("[");
        for (n, id) in self.ids.iter().enumerate() {
            let _ = write!(text, "{}{{\"id\":\"{}\"", if n == 0 { "" } else { "," }, id.simple());
            for (name, column) in &self.columns {
                let _ = match column[n] {
                    Some(value) => write!(text, ",\"{name}\":{value}"),
                    None => write!(text, ",\"{name}\":null"),
                };
            }
            text.push('}');
        }
        text.push(']');
        text
    }
}

/// Characters of a number in [`BulkUpdate::fixed`]: as many as the longest 64-bit integer has.
const WIDTH: usize = 20;

/// Stands for null in [`BulkUpdate::fixed`]: [`WIDTH`] spaces.
const NULL: &str = "                    ";
