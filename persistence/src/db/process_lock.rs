//! A lock file beside an SQLite database, so that only one process serves it: that process caches and counts in memory.

use std::{
    fs::{File, TryLockError},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    str::FromStr,
};

use sea_orm::sqlx::sqlite::SqliteConnectOptions;

use crate::db::connect::is_in_memory;

/// Held by the serving process. The operating system releases it when the process ends, however it ends.
#[derive(Debug)]
pub struct ProcessLock {
    _lock: Option<File>,
}

/// Why a database could not be locked.
#[derive(Debug)]
pub enum ProcessLockError {
    /// Another process serves the database.
    Taken(PathBuf),
    /// The file of the database has several names.
    Linked(PathBuf),
    /// The directory of the database does not exist.
    NoDirectory(PathBuf),
    /// The lock file beside the database cannot be used.
    Io(PathBuf, io::Error),
}

impl std::fmt::Display for ProcessLockError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Taken(path) => write!(
                f,
                "another process serves this database (it holds {}); SQLite allows one process, PostgreSQL any number",
                path.display()
            ),
            Self::Linked(path) => write!(
                f,
                "the database file has several names (hard links), through which processes could overwrite each other; \
                 remove all but one (the lock would be {})",
                path.display()
            ),
            Self::NoDirectory(path) => write!(
                f,
                "the directory {} does not exist; create it, or correct CLAVIGER_DATABASE_URL",
                path.display()
            ),
            Self::Io(path, error) => write!(f, "cannot lock {}: {error}", path.display()),
        }
    }
}

impl std::error::Error for ProcessLockError {}

/// The file of the database at `url`. `None`: the database is no file.
#[must_use]
pub fn database_file(url: &str) -> Option<PathBuf> {
    if !url.starts_with("sqlite:") || is_in_memory(url) {
        return None;
    }
    Some(SqliteConnectOptions::from_str(url).map_or_else(|_| PathBuf::new(), |o| o.get_filename().to_owned()))
}

/// The path with a suffix, for a file beside another one.
#[must_use]
pub fn with_suffix(path: &Path, ending: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(ending);
    path.into()
}

/// The directory of a file, if it does not exist.
pub(crate) fn missing_directory(file: &Path) -> Option<PathBuf> {
    let directory = file.parent().filter(|directory| !directory.as_os_str().is_empty())?;
    (!directory.exists()).then(|| directory.to_owned())
}

/// Locks the database at `url` for the serving process. On PostgreSQL, and for a database in memory, it does nothing.
pub fn lock_database(url: &str) -> Result<ProcessLock, ProcessLockError> {
    let Some(file) = database_file(url) else { return Ok(ProcessLock { _lock: None }) };
    // A symbolic link is resolved, so that both names have one lock. With hard links SQLite would use a write-ahead log beside each
    // name.
    let file = std::fs::canonicalize(&file).unwrap_or(file);
    let path = with_suffix(&file, ".lock");
    if std::fs::metadata(&file).is_ok_and(|file| file.nlink() > 1) {
        return Err(ProcessLockError::Linked(path));
    }
    if let Some(directory) = missing_directory(&file) {
        return Err(ProcessLockError::NoDirectory(directory));
    }
    let io = |error| ProcessLockError::Io(path.clone(), error);
    let file = File::create(&path).map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(ProcessLock { _lock: Some(file) }),
        Err(TryLockError::WouldBlock) => Err(ProcessLockError::Taken(path)),
        Err(TryLockError::Error(error)) => Err(io(error)),
    }
}
