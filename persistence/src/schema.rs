//! Bringing the database to the schema of this program, and telling whether it is there.

use std::collections::HashSet;

use migration::{Migrator, MigratorTrait, leaves_older_versions_alone as only_adds, seaql_migrations};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, EntityTrait, Statement};

use crate::{connect::Pools, outage};

/// Why the schema cannot be used, or could not be brought up to date.
#[derive(Debug)]
pub enum SchemaError {
    /// The database has no schema of this program.
    Absent,
    /// The database lacks this step.
    Older(String),
    /// The database's user lacks a privilege: to read the tables, or to change the schema, which is necessary.
    NotAllowed {
        /// What the user is not allowed to do.
        what: &'static str,
        /// What to do about it.
        remedy: &'static str,
        /// What the database said.
        error: DbErr,
    },
    /// The database has a step that this program does not know and cannot do with.
    Newer(String),
    /// A statement failed.
    Database(DbErr),
}

impl std::fmt::Display for SchemaError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Absent => f.write_str("the database has no schema of Claviger yet; run `claviger migrate`"),
            Self::Older(step) => write!(
                f,
                "the schema of the database is older than this program: it lacks {step}; run `claviger migrate`"
            ),
            Self::NotAllowed { what, remedy, error } => {
                write!(f, "the user of CLAVIGER_DATABASE_URL may not {what} ({error}); {remedy}")
            }
            Self::Newer(version) => write!(
                f,
                "the database is newer than this program: it has {version}, which this program, whose newest schema is {}, \
                 cannot do with; run a newer version of claviger",
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

/// The name of the newest step that this program knows.
pub(crate) fn newest() -> String {
    Migrator::migrations().last().map_or_else(String::new, |step| step.name().to_owned())
}

/// How the schema of a database compares with that of this program.
enum State {
    /// There is none.
    Absent,
    /// It lacks this step.
    Older(String),
    /// It has all steps. There may be more that only add something: a newer version may run beside this one.
    Current,
    /// It has this step, which this program cannot do with.
    Newer(String),
}

/// Looks at the schema, and changes nothing.
async fn state<C: ConnectionTrait>(db: &C) -> Result<State, SchemaError> {
    let backend = db.get_database_backend();
    let sql = match backend {
        DbBackend::Postgres => "SELECT count(to_regclass('seaql_migrations'))",
        _ => "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'seaql_migrations'",
    };
    let row = db.query_one_raw(Statement::from_string(backend, sql)).await?;
    let count: i64 = row.map_or(Ok(0), |row| row.try_get_by_index(0))?;
    if count == 0 {
        return Ok(State::Absent);
    }
    let applied = applied(db).await.map_err(|error| {
        let remedy =
            "grant it SELECT, INSERT, UPDATE and DELETE on all tables, and USAGE on all sequences, of the schema";
        not_allowed(error, "read the table seaql_migrations", remedy)
    })?;
    let known = known();
    if let Some(newer) = applied.difference(&known).filter(|step| !only_adds(step)).min() {
        return Ok(State::Newer(newer.clone()));
    }
    let missing = known.difference(&applied).min().cloned();
    Ok(missing.map_or(State::Current, State::Older))
}

/// The error with its remedy, where a privilege is missing.
fn not_allowed(error: DbErr, what: &'static str, remedy: &'static str) -> SchemaError {
    if outage::is_not_allowed(&error) { SchemaError::NotAllowed { what, remedy, error } } else { error.into() }
}

/// Refuses a schema that is not current. Changes nothing.
pub(crate) async fn require_current<C: ConnectionTrait>(db: &C) -> Result<(), SchemaError> {
    match state(db).await? {
        State::Current => Ok(()),
        State::Absent => Err(SchemaError::Absent),
        State::Older(step) => Err(SchemaError::Older(step)),
        State::Newer(step) => Err(SchemaError::Newer(step)),
    }
}

/// Brings the schema up to date. One that is current is not touched, so that a user without the right to change it can serve.
pub(crate) async fn migrate(pools: &Pools) -> Result<(), SchemaError> {
    if matches!(state(&pools.read).await?, State::Current) {
        return Ok(());
    }
    match run_missing(pools.begin().await?).await {
        Err(SchemaError::Database(error)) => Err(not_allowed(
            error,
            "bring the schema up to date",
            "run `claviger migrate` once as a user who may: the owner of the tables, with CREATE on their schema",
        )),
        done => done,
    }
}

/// Runs the steps that are missing, in one transaction: all or none. Processes that start together take turns; on SQLite
/// the transaction itself sees to it, which must be one that writes from its beginning.
async fn run_missing(transaction: DatabaseTransaction) -> Result<(), SchemaError> {
    if transaction.get_database_backend() == DbBackend::Postgres {
        const LOCK: &str = "SELECT pg_advisory_xact_lock(7161747672652101)";
        transaction.execute_unprepared(LOCK).await?;
    }
    Migrator::install(&transaction).await?;
    let (known, applied) = (known(), applied(&transaction).await?);
    match applied.difference(&known).max() {
        None => Migrator::up(&transaction, None).await?,
        // A newer version was here, and only added something.
        Some(_) if fits(&known, &applied) => {}
        Some(newest) => {
            let reason = applied.difference(&known).filter(|step| !only_adds(step)).min();
            return Err(SchemaError::Newer(reason.unwrap_or(newest).clone()));
        }
    }
    transaction.commit().await?;
    Ok(())
}

/// Whether every step that this program knows was run. There may be more that only add something: a newer version may run
/// beside this one.
pub(crate) async fn is_current<C: ConnectionTrait>(db: &C) -> Result<bool, DbErr> {
    Ok(fits(&known(), &applied(db).await?))
}

fn fits(known: &HashSet<String>, applied: &HashSet<String>) -> bool {
    known.is_subset(applied) && applied.difference(known).all(|step| only_adds(step))
}

fn known() -> HashSet<String> {
    Migrator::migrations().iter().map(|step| step.name().to_owned()).collect()
}

async fn applied<C: ConnectionTrait>(db: &C) -> Result<HashSet<String>, DbErr> {
    let steps = seaql_migrations::Entity::find().all(db).await?;
    Ok(steps.into_iter().map(|step| step.version).collect())
}
