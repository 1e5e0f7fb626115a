//! Classifies database errors: the database is unavailable (a retry may help), or something is broken.

use std::{fmt, sync::Arc};

use domain::{Error, Outage};
use sea_orm::{DbErr, RuntimeErr, SqlErr, sqlx};
use tokio::task::JoinError;

use crate::{
    db::database_file::FileFault,
    rows::{convert::BrokenRow, counter_journal::BrokenJournal},
};

/// A failure inside this crate, before it becomes an error of the domain.
#[derive(Debug)]
pub(crate) enum DbFailure {
    /// A statement or a connection failed.
    Database(DbErr),
    /// A row breaks the domain's rules.
    Row(BrokenRow),
    /// A row of the ledger's journal is damaged.
    Journal(BrokenJournal),
    /// A rule that is checked in the transaction was broken.
    Refused(Error),
    /// The database has not responded in time.
    Timeout,
    /// The file of the SQLite database is not the one that was opened, so that what was written may be lost.
    File(FileFault),
}

/// A fault of the storage below the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StorageFault {
    /// The disk or a quota is full.
    Full,
    /// It is read-only, by file permissions or by its mount.
    ReadOnly,
    /// Reading or writing failed.
    Io,
    /// The file is damaged or not a database. Only a restart with another file helps.
    Corrupt,
    /// The file was removed, replaced, truncated or overwritten.
    File(FileFault),
}

impl StorageFault {
    /// Whether only a restart ends it.
    pub(crate) fn is_permanent(self) -> bool {
        self == Self::Corrupt
    }

    /// The fault that a result code of SQLite or an SQLSTATE of PostgreSQL (5 characters) stands for.
    fn by_code(code: &str) -> Option<Self> {
        if code.len() == 5 {
            return match code {
                "53100" => Some(Self::Full),
                "25006" => Some(Self::ReadOnly),
                "58030" => Some(Self::Io),
                "XX001" | "XX002" => Some(Self::Corrupt),
                _ => None,
            };
        }
        match code.parse::<u32>().ok()? & 0xff {
            FULL => Some(Self::Full),
            READ_ONLY => Some(Self::ReadOnly),
            IO_ERROR | CANNOT_OPEN => Some(Self::Io),
            CORRUPT | NOT_A_DATABASE => Some(Self::Corrupt),
            _ => None,
        }
    }
}

impl fmt::Display for StorageFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the disk of the database is full"),
            Self::ReadOnly => f.write_str("the database cannot be written: it is read-only for this process"),
            Self::Io => f.write_str("reading or writing the database failed"),
            Self::Corrupt => f.write_str("the database is damaged; restore it from a backup and restart"),
            Self::File(fault) => fault.fmt(f),
        }
    }
}

const TIMEOUT: &str = "the database did not respond in time";

impl fmt::Display for DbFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(error) => error.fmt(f),
            Self::Row(row) => row.fmt(f),
            Self::Journal(row) => row.fmt(f),
            Self::Refused(error) => error.fmt(f),
            Self::Timeout => f.write_str(TIMEOUT),
            Self::File(fault) => fault.fmt(f),
        }
    }
}

impl From<DbErr> for DbFailure {
    fn from(error: DbErr) -> Self {
        Self::Database(error)
    }
}

impl From<BrokenRow> for DbFailure {
    fn from(row: BrokenRow) -> Self {
        Self::Row(row)
    }
}

impl DbFailure {
    /// Whether this is a deadlock (40P01) or serialization failure (40001) of PostgreSQL: the transaction was rolled back
    /// completely, and is safe to retry.
    pub(crate) fn is_retryable(&self) -> bool {
        let code = match self {
            Self::Database(error) => driver_error(error).and_then(|error| error.as_database_error()?.code()),
            Self::Row(_) | Self::Journal(_) | Self::Refused(_) | Self::Timeout | Self::File(_) => None,
        };
        code.is_some_and(|code| RETRYABLE.contains(&&*code))
    }

    /// The storage fault behind it, if there is one.
    pub(crate) fn storage_fault(&self) -> Option<StorageFault> {
        match self {
            Self::Database(error) => storage_fault(error),
            Self::File(fault) => Some(StorageFault::File(*fault)),
            Self::Row(_) | Self::Journal(_) | Self::Refused(_) | Self::Timeout => None,
        }
    }

    /// Whether the database is unavailable, so that a retry may help.
    pub(crate) fn is_unavailable(&self) -> bool {
        match self {
            Self::Timeout | Self::File(_) => true,
            Self::Database(error) => is_unavailable(error),
            Self::Row(_) | Self::Journal(_) | Self::Refused(_) => false,
        }
    }

    /// Whether a unique constraint was violated.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Database(error) if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))))
    }
}

/// The result of a task. A panic of the task is resumed here. `None`: it was aborted, because the process is stopping.
pub(crate) fn finished<T>(task: Result<T, JoinError>) -> Option<T> {
    match task.map_err(JoinError::try_into_panic) {
        Ok(outcome) => Some(outcome),
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        Err(Err(_)) => None,
    }
}

/// The row that was found, or [`Error::NotFound`].
pub(crate) fn or_not_found<T>(found: Option<T>) -> Result<T, DbFailure> {
    found.ok_or(DbFailure::Refused(Error::NotFound))
}

impl From<DbFailure> for Outage {
    fn from(failure: DbFailure) -> Self {
        match failure {
            DbFailure::Row(row) => Self::Broken(Box::new(row)),
            DbFailure::Journal(row) => Self::Broken(Box::new(row)),
            DbFailure::Timeout => Self::Unavailable(TIMEOUT.into()),
            DbFailure::File(fault) => Self::Unavailable(Box::new(fault)),
            DbFailure::Refused(error) => Self::Broken(Box::new(error)),
            DbFailure::Database(error) if is_unavailable(&error) => Self::Unavailable(Box::new(error)),
            DbFailure::Database(error) => Self::Broken(Box::new(error)),
        }
    }
}

impl From<DbFailure> for Error {
    fn from(failure: DbFailure) -> Self {
        match failure {
            DbFailure::Refused(error) => error,
            // The row that it refers to was deleted at the same moment.
            DbFailure::Database(error) if matches!(error.sql_err(), Some(SqlErr::ForeignKeyConstraintViolation(_))) => {
                Self::NotFound
            }
            other => Self::Outage(other.into()),
        }
    }
}

/// The failure of a batch, as the error of one of its requests.
pub(crate) fn shared(failure: &Arc<DbFailure>) -> Outage {
    let source = Box::new(SharedFailure(failure.clone()));
    if failure.is_unavailable() { Outage::Unavailable(source) } else { Outage::Broken(source) }
}

#[derive(Debug)]
struct SharedFailure(Arc<DbFailure>);

impl fmt::Display for SharedFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for SharedFailure {}

/// The storage fault behind the outage of a request, if there is one.
pub(crate) fn storage_fault_of(outage: &Outage) -> Option<StorageFault> {
    let (Outage::Unavailable(source) | Outage::Broken(source)) = outage;
    if let Some(shared) = source.downcast_ref::<SharedFailure>() {
        return shared.0.storage_fault();
    }
    source.downcast_ref::<DbErr>().and_then(storage_fault)
}

fn storage_fault(error: &DbErr) -> Option<StorageFault> {
    StorageFault::by_code(&driver_error(error)?.as_database_error()?.code()?)
}

fn is_unavailable(error: &DbErr) -> bool {
    matches!(error, DbErr::ConnectionAcquire(_)) || driver_error(error).is_some_and(is_driver_error_unavailable)
}

/// Whether another process holds the lock of the SQLite file.
pub(crate) fn is_locked(error: &DbErr) -> bool {
    let code = driver_error(error).and_then(|error| error.as_database_error()?.code()?.parse::<u32>().ok());
    code.is_some_and(|code| [BUSY, LOCKED].contains(&(code & 0xff)))
}

/// Whether the user of the database lacks a privilege (PostgreSQL's `insufficient_privilege`).
pub(crate) fn is_not_allowed(error: &DbErr) -> bool {
    driver_error(error).and_then(|error| error.as_database_error()?.code()).is_some_and(|code| code == "42501")
}

/// Whether no schema of PostgreSQL's `search_path` exists and can be used (`invalid_schema_name`).
pub(crate) fn is_schema_missing(error: &DbErr) -> bool {
    driver_error(error).and_then(|error| error.as_database_error()?.code()).is_some_and(|code| code == "3F000")
}

fn driver_error(error: &DbErr) -> Option<&sqlx::Error> {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error)) => Some(error),
        _ => None,
    }
}

/// The error of a statement that was sent to the driver directly.
pub(crate) fn query_error(error: sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(error.into()))
}

fn is_driver_error_unavailable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::BeginFailed
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| is_code_unavailable(&code)),
        _ => false,
    }
}

/// SQLSTATE codes of PostgreSQL after which a transaction is retried: serialization failure, deadlock.
const RETRYABLE: [&str; 2] = ["40001", "40P01"];

/// Primary result codes of SQLite for conditions that may end soon (<https://www.sqlite.org/rescode.html>).
const BUSY: u32 = 5;
const LOCKED: u32 = 6;
const READ_ONLY: u32 = 8;
const IO_ERROR: u32 = 10;
const FULL: u32 = 13;
const CANNOT_OPEN: u32 = 14;

/// Primary result codes of SQLite for a damaged file.
const CORRUPT: u32 = 11;
const NOT_A_DATABASE: u32 = 26;

/// Whether a code means that a retry may help. PostgreSQL: an SQLSTATE of five characters. SQLite: an extended result code, whose
/// low byte is the primary one.
fn is_code_unavailable(code: &str) -> bool {
    if code.len() == 5 {
        // Classes: connection exception, insufficient resources, operator intervention. Codes: retries had no success, and
        // `read_only_sql_transaction`, because another server has become the primary, and
        // `in_failed_sql_transaction`, after which the connection is closed.
        return ["08", "53", "57"].iter().any(|class| code.starts_with(class))
            || RETRYABLE.contains(&code)
            || ["25006", "25P02"].contains(&code);
    }
    code.parse::<u32>()
        .is_ok_and(|code| [BUSY, LOCKED, READ_ONLY, IO_ERROR, FULL, CANNOT_OPEN].contains(&(code & 0xff)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_aborted_task_is_not_a_panic() {
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(std::future::pending::<u8>());
        tasks.abort_all();
        assert_eq!(finished(tasks.join_next().await.expect("a task")), None);
        tasks.spawn(std::future::ready(1));
        assert_eq!(finished(tasks.join_next().await.expect("a task")), Some(1));
    }
}
