//! One UPDATE of many keys, each with values of its own, which come in as one JSON parameter: `json_each` on SQLite,
//! `jsonb_to_recordset` on PostgreSQL. (Arrays of columns would do on PostgreSQL, but the driver's layer takes none with
//! nulls in them.)

use std::fmt::Write;

use sea_orm::{DbBackend, Statement, Value, prelude::Uuid};

/// Whole numbers for many keys.
pub(crate) struct Set {
    ids: Vec<Uuid>,
    columns: Vec<(&'static str, Vec<Option<i64>>)>,
}

impl Set {
    /// `columns` have a value for each of `ids`.
    pub(crate) fn new(ids: Vec<Uuid>, columns: Vec<(&'static str, Vec<Option<i64>>)>) -> Self {
        Self { ids, columns }
    }

    /// The statement that makes `assignments` in `api_keys`, where `guard` (`AND …`) holds, and answers what `returning` says;
    /// `s.<column>` in them is a value of the set.
    pub(crate) fn update(self, backend: DbBackend, assignments: &str, guard: &str, returning: &str) -> Statement {
        match backend {
            DbBackend::Postgres => self.postgres(assignments, guard, returning),
            _ => self.sqlite(assignments, guard, returning),
        }
    }

    fn postgres(self, assignments: &str, guard: &str, returning: &str) -> Statement {
        let names: Vec<String> = self.columns.iter().map(|(name, _)| format!("{name} bigint")).collect();
        // The rows are locked in the order of their ids, as the ledger does, so that the two never wait in a circle.
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

    /// An array of texts, each the identifier as 32 hexadecimal digits and the numbers at fixed places: SQLite would parse
    /// an object anew for each of its members.
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

    /// An array of objects, the identifiers as 32 hexadecimal digits.
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

/// As long as the longest number.
const WIDTH: usize = 20;
const NULL: &str = "                    ";
