//! On SQLite one process serves at a time: what it keeps in memory must not be changed behind its back.

use std::{
    fs::{File, TryLockError},
    io,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    str::FromStr,
};

use sea_orm::sqlx::sqlite::SqliteConnectOptions;

use crate::connect::is_in_memory;

/// Held by the process that serves; the operating system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub struct Claim {
    _lock: Option<File>,
}

/// Why a database could not be claimed.
#[derive(Debug)]
pub enum ClaimError {
    /// Another process serves it.
    Taken(PathBuf),
    /// The file of the database has several names.
    Linked(PathBuf),
    /// The lock file beside the database cannot be used.
    Io(PathBuf, io::Error),
}

impl std::fmt::Display for ClaimError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Taken(path) => write!(
                f,
                "another process serves this database (it holds {}); SQLite takes one, PostgreSQL any number",
                path.display()
            ),
            Self::Linked(path) => write!(
                f,
                "the database file has several names (hard links), by which processes could write past each other; leave it \
                 one (the lock would be {})",
                path.display()
            ),
            Self::Io(path, error) => write!(f, "cannot lock {}: {error}", path.display()),
        }
    }
}

impl std::error::Error for ClaimError {}

/// The file of the database at `url`. `None`: it is none.
pub(crate) fn database_file(url: &str) -> Option<PathBuf> {
    if !url.starts_with("sqlite:") || is_in_memory(url) {
        return None;
    }
    Some(SqliteConnectOptions::from_str(url).map_or_else(|_| PathBuf::new(), |o| o.get_filename().to_owned()))
}

/// The file beside that of the database at `url`, with this at the end of its name. `None`: the database is no file.
#[must_use]
pub fn beside(url: &str, ending: &str) -> Option<PathBuf> {
    let mut path = database_file(url)?.into_os_string();
    path.push(ending);
    Some(path.into())
}

/// Claims the database at `url` for serving. On PostgreSQL there is nothing to claim.
pub fn claim(url: &str) -> Result<Claim, ClaimError> {
    let Some(path) = beside(url, ".lock") else { return Ok(Claim { _lock: None }) };
    // By a symbolic link it is the same database. By a hard link SQLite would have another log beside each name.
    let file = beside(url, "").and_then(|file| std::fs::canonicalize(file).ok());
    let links = file.as_ref().and_then(|file| std::fs::metadata(file).ok()).map_or(1, |file| file.nlink());
    let path = file.map_or(path, |file| {
        let mut path = file.into_os_string();
        path.push(".lock");
        path.into()
    });
    if links > 1 {
        return Err(ClaimError::Linked(path));
    }
    let io = |error| ClaimError::Io(path.clone(), error);
    let file = File::create(&path).map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(Claim { _lock: Some(file) }),
        Err(TryLockError::WouldBlock) => Err(ClaimError::Taken(path)),
        Err(TryLockError::Error(error)) => Err(io(error)),
    }
}
