//! Brings the database to the schema of this program, and checks whether it has it.

use std::collections::HashSet;

use migration::{Migrator, MigratorTrait, leaves_older_versions_alone as only_adds, seaql_migrations};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, Statement};

use crate::db::{
    connect::Pools,
    dialect::{self, Dialect},
    error,
};

/// Why the schema cannot be used, or could not be brought up to date.
#[derive(Debug)]
pub enum SchemaError {
    /// The database has no schema of this program.
    Absent,
    /// The database has tables, but not those of this program.
    Foreign,
    /// The database lacks this migration.
    Older(String),
    /// The database's user lacks a privilege: to read the tables, or to change the schema, which is necessary.
    NotAllowed {
        /// What the user is not allowed to do.
        what: &'static str,
        /// How to grant it.
        remedy: String,
        /// What the database said.
        error: DbErr,
    },
    /// The database has this migration, which this program does not know and does not work with.
    Newer(String),
    /// A statement failed.
    Database(DbErr),
}

impl std::fmt::Display for SchemaError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Absent => f.write_str("the database has no Claviger schema yet; run `claviger migrate`"),
            Self::Foreign => f.write_str(
                "this is the database of another application: it has tables, but no Claviger schema; use a database of its own",
            ),
            Self::Older(step) => write!(
                f,
                "the schema of the database is older than this program: it lacks {step}; run `claviger migrate`"
            ),
            Self::NotAllowed { what, remedy, error } => {
                write!(f, "the user of CLAVIGER_DATABASE_URL is not allowed to {what} ({error}); {remedy}")
            }
            Self::Newer(version) => write!(
                f,
                "the database is newer than this program: it has {version}, and the newest schema of this program is {}; \
                 run a newer version of claviger",
                newest()
            ),
            Self::Database(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SchemaError {}

impl From<DbErr> for SchemaError {
    fn from(error: DbErr) -> Self {
        Self::Database(error)
    }
}

/// The name of the newest migration that this program knows.
pub(crate) fn newest() -> String {
    Migrator::migrations().last().map_or_else(String::new, |step| step.name().to_owned())
}

/// How the schema of a database compares with that of this program.
enum State {
    /// It has none.
    Absent,
    /// It has that of another application.
    Foreign,
    /// It lacks this migration.
    Older(String),
    /// It has all migrations, and maybe newer ones that do not affect this version, which may run at the same time.
    Current,
    /// It has this migration, with which this program does not work.
    Newer(String),
}

/// Who and where this program is on PostgreSQL, quoted for statements that grant rights.
struct Names {
    user: String,
    schema: String,
    search_path: String,
}

impl Names {
    /// `None`: they cannot be read.
    async fn read<C: ConnectionTrait>(db: &C) -> Option<Self> {
        let sql = "SELECT quote_ident(current_user), coalesce(quote_ident(current_schema()), '…'), \
                   current_setting('search_path')";
        let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await.ok()??;
        let text = |index| row.try_get_by_index::<String>(index).ok();
        Some(Self { user: text(0)?, schema: text(1)?, search_path: text(2)? })
    }
}

/// The state of the schema. Changes nothing.
async fn state<C: ConnectionTrait>(db: &C) -> Result<State, SchemaError> {
    let sql = Dialect::of(db).count_migration_tables();
    let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await?;
    let count: i64 = row.map_or(Ok(0), |row| row.try_get_by_index(0))?;
    if count == 0 {
        let has_others = dialect::has_foreign_tables(db).await?;
        return Ok(if has_others { State::Foreign } else { State::Absent });
    }
    let applied = match applied(db).await {
        Ok(applied) => applied,
        Err(error) => return Err(not_allowed_to_read(db, error).await),
    };
    let known = known();
    // The library for migrations uses the same table in all applications.
    if !applied.is_empty() && applied.is_disjoint(&known) {
        return Ok(State::Foreign);
    }
    if let Some(newer) = applied.difference(&known).filter(|step| !only_adds(step)).min() {
        return Ok(State::Newer(newer.clone()));
    }
    let missing = known.difference(&applied).min().cloned();
    Ok(missing.map_or(State::Current, State::Older))
}

/// The error of a statement that reads, with its remedy if a privilege is missing.
async fn not_allowed_to_read<C: ConnectionTrait>(db: &C, error: DbErr) -> SchemaError {
    match Names::read(db).await {
        Some(Names { user, schema, .. }) if error::is_not_allowed(&error) => SchemaError::NotAllowed {
            what: "read the table seaql_migrations",
            remedy: format!(
                "as the owner of the tables run: GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO \
                 {user}; GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {user}"
            ),
            error,
        },
        _ => error.into(),
    }
}

/// The error of a migration, with its remedy if a privilege or the schema is missing.
async fn not_allowed_to_migrate<C: ConnectionTrait>(db: &C, error: DbErr) -> SchemaError {
    let is_schema_missing = error::is_schema_missing(&error);
    if !is_schema_missing && !error::is_not_allowed(&error) {
        return error.into();
    }
    let Some(Names { user, schema, search_path }) = Names::read(db).await else { return error.into() };
    if is_schema_missing {
        let what = "use a schema of its search_path";
        let remedy = format!(
            "the search_path is {search_path}: create its schema with CREATE SCHEMA … AUTHORIZATION {user}, or, if it exists, run \
             GRANT USAGE, CREATE ON SCHEMA … TO {user}"
        );
        return SchemaError::NotAllowed { what, remedy, error };
    }
    let what = "bring the schema up to date";
    let remedy = format!(
        "run `claviger migrate` once as the owner of the tables; if there are no tables yet, run GRANT USAGE, CREATE ON SCHEMA \
         {schema} TO {user} as the owner of the schema"
    );
    SchemaError::NotAllowed { what, remedy, error }
}

/// Refuses a schema that is not current. Changes nothing.
pub(crate) async fn require_current<C: ConnectionTrait>(db: &C) -> Result<(), SchemaError> {
    match state(db).await? {
        State::Current => Ok(()),
        State::Absent => Err(SchemaError::Absent),
        State::Foreign => Err(SchemaError::Foreign),
        State::Older(step) => Err(SchemaError::Older(step)),
        State::Newer(step) => Err(SchemaError::Newer(step)),
    }
}

/// Brings the schema up to date. If it is current nothing is written on PostgreSQL, so that a user who may not change it can serve.
pub(crate) async fn migrate(pools: &Pools) -> Result<(), SchemaError> {
    match state(&pools.read).await? {
        State::Current => {}
        State::Foreign => return Err(SchemaError::Foreign),
        State::Absent | State::Older(_) | State::Newer(_) => match run_missing(pools.begin().await?).await {
            Err(SchemaError::Database(error)) => return Err(not_allowed_to_migrate(&pools.read, error).await),
            done => done?,
        },
    }
    if Dialect::of(&pools.write) == Dialect::Sqlite {
        dialect::identify_sqlite_file(pools).await?;
    }
    Ok(())
}

/// Runs the missing migrations in one transaction: all or none. Processes that start at the same time take turns, on SQLite by
/// the transaction itself, which must take the write lock when it begins.
async fn run_missing(transaction: DatabaseTransaction) -> Result<(), SchemaError> {
    dialect::lock_migrations(&transaction).await?;
    Migrator::install(&transaction).await?;
    let (known, applied) = (known(), applied(&transaction).await?);
    match applied.difference(&known).max() {
        None => Migrator::up(&transaction, None).await?,
        // A newer version has added migrations that do not affect this one.
        Some(_) if is_compatible(&known, &applied) => {}
        Some(newest) => {
            let reason = applied.difference(&known).filter(|step| !only_adds(step)).min();
            return Err(SchemaError::Newer(reason.unwrap_or(newest).clone()));
        }
    }
    transaction.commit().await?;
    Ok(())
}

/// Whether every migration that this program knows was run, and no other one that affects it. A newer version may run at the same
/// time.
pub(crate) async fn is_current<C: ConnectionTrait>(db: &C) -> Result<bool, DbErr> {
    Ok(is_compatible(&known(), &applied(db).await?))
}

fn is_compatible(known: &HashSet<String>, applied: &HashSet<String>) -> bool {
    known.is_subset(applied) && applied.difference(known).all(|step| only_adds(step))
}

fn known() -> HashSet<String> {
    Migrator::migrations().iter().map(|step| step.name().to_owned()).collect()
}

async fn applied<C: ConnectionTrait>(db: &C) -> Result<HashSet<String>, DbErr> {
    let steps = seaql_migrations::Entity::find().all(db).await?;
    Ok(steps.into_iter().map(|step| step.version).collect())
}
