//! One UPDATE of many keys, each with values of its own: the rows come in as one parameter on SQLite (`json_each`) and as
//! one array for each column on PostgreSQL (`unnest`).

use sea_orm::{DbBackend, Statement, Value, prelude::Uuid, sea_query::ArrayType};

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
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        let arrays: Vec<String> = (2..names.len() + 2).map(|n| format!("${n}::bigint[]")).collect();
        // The rows are locked in the order of their ids, as the ledger does, so that the two never wait in a circle.
        let sql = format!(
            "WITH s AS (SELECT * FROM unnest($1::uuid[], {}) AS s(id, {})), \
             locked AS (SELECT id FROM api_keys WHERE id = ANY($1) ORDER BY id FOR UPDATE) \
             UPDATE api_keys SET {assignments} FROM s JOIN locked ON locked.id = s.id WHERE api_keys.id = s.id",
            arrays.join(", "),
            names.join(", "),
        );
        let ids = self.ids.into_iter().map(Value::from).collect();
        let mut values = vec![Value::Array(ArrayType::Uuid, Some(Box::new(ids)))];
        values.extend(self.columns.into_iter().map(|(_, column)| {
            Value::Array(ArrayType::BigInt, Some(Box::new(column.into_iter().map(Value::BigInt).collect())))
        }));
        Statement::from_sql_and_values(DbBackend::Postgres, sql, values)
    }

    fn sqlite(self, assignments: &str) -> Statement {
        let names = self.columns.iter().enumerate();
        let names: Vec<String> = names.map(|(n, (name, _))| format!("value ->> {} AS {name}", n + 1)).collect();
        let sql = format!(
            "WITH s AS (SELECT unhex(value ->> 0) AS id, {} FROM json_each(?)) \
             UPDATE api_keys SET {assignments} FROM s WHERE api_keys.id = s.id",
            names.join(", "),
        );
        let rows: Vec<String> = self.ids.iter().enumerate().map(|(n, id)| self.row(n, *id)).collect();
        let json = format!("[{}]", rows.join(","));
        Statement::from_sql_and_values(DbBackend::Sqlite, sql, [Value::from(json)])
    }

    fn row(&self, n: usize, id: Uuid) -> String {
        let values =
            self.columns.iter().map(|(_, column)| column[n].map_or("null".to_owned(), |value| value.to_string()));
        format!("[\"{}\",{}]", id.simple(), values.collect::<Vec<_>>().join(","))
    }
}
