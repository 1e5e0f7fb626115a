//! Bringing the database to the schema of this program, and telling whether it is there.

use std::collections::HashSet;

use migration::{Migrator, MigratorTrait, leaves_older_versions_alone as only_adds, seaql_migrations};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, EntityTrait};

/// Why the schema could not be brought up to date.
#[derive(Debug)]
pub enum SchemaError {
    /// The database has a step that this program does not know and cannot do with.
    Newer(String),
    /// A statement failed.
    Database(DbErr),
}

impl std::fmt::Display for SchemaError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
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

/// Runs the steps that are missing, in one transaction: all or none. Processes that start together take turns; on SQLite
/// the transaction itself sees to it, which must be one that writes from its beginning.
pub(crate) async fn migrate(transaction: DatabaseTransaction) -> Result<(), SchemaError> {
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
