//! One UPDATE of many keys, each with values of its own, which come in as one JSON parameter: `json_each` on SQLite,
//! `jsonb_to_recordset` on PostgreSQL. (Arrays of columns would do on PostgreSQL, but the driver's layer takes none with
//! nulls in them.)

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

    /// The statement that makes `assignments` in `api_keys`; `s.<column>` in them is a value of the set.
    pub(crate) fn update(self, backend: DbBackend, assignments: &str) -> Statement {
        match backend {
            DbBackend::Postgres => self.postgres(assignments),
            _ => self.sqlite(assignments),
        }
    }

    fn postgres(self, assignments: &str) -> Statement {
        let names: Vec<String> = self.columns.iter().map(|(name, _)| format!("{name} bigint")).collect();
        // The rows are locked in the order of their ids, as the ledger does, so that the two never wait in a circle.
        let sql = format!(
            "WITH s AS (SELECT * FROM jsonb_to_recordset($1::jsonb) AS s(id uuid, {})), \
             locked AS (SELECT id FROM api_keys WHERE id IN (SELECT id FROM s) ORDER BY id FOR UPDATE) \
             UPDATE api_keys SET {assignments} FROM s JOIN locked ON locked.id = s.id WHERE api_keys.id = s.id",
            names.join(", "),
        );
        Statement::from_sql_and_values(DbBackend::Postgres, sql, [Value::from(self.json())])
    }

    fn sqlite(self, assignments: &str) -> Statement {
        let names: Vec<String> =
            self.columns.iter().map(|(name, _)| format!("value ->> '$.{name}' AS {name}")).collect();
        let sql = format!(
            "WITH s AS (SELECT unhex(value ->> '$.id') AS id, {} FROM json_each(?)) \
             UPDATE api_keys SET {assignments} FROM s WHERE api_keys.id = s.id",
            names.join(", "),
        );
        Statement::from_sql_and_values(DbBackend::Sqlite, sql, [Value::from(self.json())])
    }

    /// An array of objects, the identifiers as 32 hexadecimal digits.
    fn json(&self) -> String {
        let rows: Vec<String> = self.ids.iter().enumerate().map(|(n, id)| self.row(n, *id)).collect();
        format!("[{}]", rows.join(","))
    }

    fn row(&self, n: usize, id: Uuid) -> String {
        let mut row = format!("{{\"id\":\"{}\"", id.simple());
        for (name, column) in &self.columns {
            let value = column[n].map_or_else(|| "null".to_owned(), |value| value.to_string());
            row.extend([",\"", name, "\":", &value]);
        }
        row.push('}');
        row
    }
}
