//! The names of keys in the form by which they are searched for: NFC with full case folding. Only for names whose form differs
//! from the name with lowercase ASCII letters. A name that an earlier version changes afterwards keeps the form of the name before,
//! until it is changed again.

use icu_casemap::CaseMapper;
use sea_orm_migration::{
    prelude::*,
    schema::text_null,
    sea_orm::{ConnectionTrait, DbBackend, Statement},
};
use unicode_normalization::UnicodeNormalization;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// Rows that are read at once.
const PAGE: usize = 5_000;

fn fold(name: &str) -> String {
    let name: String = name.nfc().collect();
    CaseMapper::new().fold_string(&name).nfc().collect()
}

/// How the ids of keys are read and written in SQL.
struct Dialect {
    id_text: &'static str,
    literal: fn(&str) -> String,
    parameter: &'static str,
}

impl Dialect {
    fn of(backend: DbBackend) -> Self {
        match backend {
            DbBackend::Postgres => Self { id_text: "id::text", literal: |id| format!("'{id}'"), parameter: "$1" },
            _ => Self { id_text: "hex(id)", literal: |id| format!("X'{id}'"), parameter: "?" },
        }
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.alter_table(Table::alter().table("api_keys").add_column(text_null("name_folded")).to_owned()).await?;
        let (db, backend) = (manager.get_connection(), manager.get_database_backend());
        let Dialect { id_text, literal, parameter } = Dialect::of(backend);
        let mut after = String::new();
        loop {
            let rows = format!(
                "SELECT {id_text} AS id_text, name FROM api_keys WHERE name IS NOT NULL {after} ORDER BY id LIMIT {PAGE}"
            );
            let rows = db.query_all_raw(Statement::from_string(backend, rows)).await?;
            for row in &rows {
                let (id, name): (String, String) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
                let (id, folded) = (literal(&id), fold(&name));
                if folded != name.to_ascii_lowercase() {
                    let update = format!("UPDATE api_keys SET name_folded = {parameter} WHERE id = {id}");
                    db.execute_raw(Statement::from_sql_and_values(backend, update, [folded.into()])).await?;
                }
                after = format!("AND id > {id}");
            }
            if rows.len() < PAGE {
                return Ok(());
            }
        }
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.alter_table(Table::alter().table("api_keys").drop_column("name_folded").to_owned()).await
    }
}
