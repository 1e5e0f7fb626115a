//! Opening a database for what a command does with it: commands that only look create, migrate and write nothing.

use std::{fmt, path::PathBuf};

use sea_orm::DbErr;

use crate::{Store, claim::database_file, connect, schema, schema::SchemaError, settings::Settings};

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
    /// There is no file of an SQLite database.
    Missing(PathBuf),
    /// It cannot be reached, or refuses us.
    Database(DbErr),
    /// Its schema cannot be used.
    Schema(SchemaError),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(path) => {
                write!(f, "there is no database at {}; check CLAVIGER_DATABASE_URL", path.display())
            }
            Self::Database(error) => error.fmt(f),
            Self::Schema(error) => error.fmt(f),
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

impl Store {
    /// Opens a database whose schema is current afterwards, and starts the workers that `access` allows.
    ///
    /// # Errors
    /// It is not there, cannot be reached, or its schema is not one that this program can use.
    pub async fn open(settings: &Settings, access: Access) -> Result<Self, OpenError> {
        if let Some(path) = database_file(&settings.url).filter(|path| access != Access::Prepare && !path.exists()) {
            return Err(OpenError::Missing(path));
        }
        let pools = match access {
            Access::Prepare | Access::Existing => connect::connect(settings).await?,
            Access::ReadOnly => connect::connect_read_only(settings).await?,
        };
        // Before the workers run, which rely on it.
        let ready = match access {
            Access::Prepare => schema::migrate(&pools).await,
            Access::Existing | Access::ReadOnly => schema::require_current(&pools.read).await,
        };
        if let Err(error) = ready {
            pools.close().await;
            return Err(error.into());
        }
        let store = Self::on(pools, settings, access);
        if let Err(error) = store.load_shapes().await {
            store.close().await;
            return Err(error.into());
        }
        Ok(store)
    }
}
