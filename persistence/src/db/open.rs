//! Opens a database for what a command does with it. A command that only reads creates no file and runs no migration.

use std::{fmt, path::PathBuf};

use sea_orm::DbErr;

use crate::{
    db::{
        connect::{self, Pools},
        counter_journal,
        error::DbFailure,
        process_lock::{database_file, missing_directory},
        retry,
        schema::{self, SchemaError},
    },
    settings::Settings,
};

/// What a command may do with the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everything. An SQLite file that does not exist is created, and the schema is brought up to date.
    Prepare,
    /// Reading and writing. The database must exist, with a current schema.
    Existing,
    /// Reading. The database must exist, with a current schema.
    ReadOnly,
}

/// Why a database could not be opened.
#[derive(Debug)]
pub enum OpenError {
    /// The file of an SQLite database does not exist.
    Missing(PathBuf),
    /// The directory of an SQLite database does not exist.
    NoDirectory(PathBuf),
    /// It cannot be reached, or refuses the connection.
    Database(DbErr),
    /// Its schema cannot be used.
    Schema(SchemaError),
    /// The counters of the ledger's journal cannot be written into the keys.
    Journal(String),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(path) => {
                write!(f, "there is no database at {}; check CLAVIGER_DATABASE_URL", path.display())
            }
            Self::NoDirectory(path) => {
                write!(
                    f,
                    "the directory {} does not exist; create it, or correct CLAVIGER_DATABASE_URL",
                    path.display()
                )
            }
            Self::Database(error) => error.fmt(f),
            Self::Schema(error) => error.fmt(f),
            Self::Journal(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for OpenError {}

impl From<DbErr> for OpenError {
    fn from(error: DbErr) -> Self {
        Self::Database(error)
    }
}

impl From<SchemaError> for OpenError {
    fn from(error: SchemaError) -> Self {
        Self::Schema(error)
    }
}

/// Opens the pools of a database whose schema is current afterwards: before any worker runs, because workers rely on it.
pub(crate) async fn open_pools(settings: &Settings, access: Access) -> Result<Pools, OpenError> {
    if let Some(path) = database_file(&settings.url) {
        if access != Access::Prepare && !path.exists() {
            return Err(OpenError::Missing(path));
        }
        if let Some(directory) = missing_directory(&path) {
            return Err(OpenError::NoDirectory(directory));
        }
    }
    let pools = match access {
        Access::Prepare | Access::Existing => connect::connect(settings).await?,
        Access::ReadOnly => connect::connect_read_only(settings).await?,
    };
    let ready = match access {
        Access::Prepare => schema::migrate(&pools).await,
        Access::Existing | Access::ReadOnly => schema::require_current(&pools.read).await,
    };
    let mut ready = ready.map_err(OpenError::from);
    if ready.is_ok() && access != Access::ReadOnly {
        ready = fold_journal(&pools).await.map_err(|failure| match failure {
            DbFailure::Database(error) => OpenError::Database(error),
            other => OpenError::Journal(other.to_string()),
        });
    }
    if let Err(error) = ready {
        pools.close().await;
        return Err(error);
    }
    Ok(pools)
}

/// Writes what the ledger's journal has into the keys, also beside a process that serves.
async fn fold_journal(pools: &Pools) -> Result<(), DbFailure> {
    if counter_journal::is_empty(&pools.read).await? {
        return Ok(());
    }
    retry::retry_in_time(pools.change_timeout, async || {
        let transaction = pools.begin().await?;
        counter_journal::fold(&transaction).await?;
        Ok(transaction.commit().await?)
    })
    .await
}
