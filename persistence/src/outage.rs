//! What a failed statement means: the database is away (ask again later), or something is broken.

use std::{fmt, sync::Arc};

use domain::{Error, Outage};
use sea_orm::{DbErr, RuntimeErr, SqlErr, sqlx};
use tokio::task::JoinError;

use crate::{convert::BrokenRow, health::FileFault};

/// A failure on the way to an answer, before the domain hears of it.
#[derive(Debug)]
pub(crate) enum Failure {
    Database(DbErr),
    Row(BrokenRow),
    /// A rule that only the transaction can look at stopped it.
    Refused(Error),
    /// The database has not answered in time.
    Timeout,
    /// What was written is not in the file that the next start would read.
    File(FileFault),
}

/// Why the storage below the database does not take or give what it must.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StorageFault {
    /// The disk, or a quota, is full.
    Full,
    /// It cannot be written: by its permissions, or because it is mounted so.
    ReadOnly,
    /// Reading or writing failed.
    Io,
    /// What is in it is not a database, or not a whole one. Only a restart with another file ends this.
    Corrupt,
    /// Something has happened to the file.
    File(FileFault),
}

impl StorageFault {
    /// Whether it does not end by itself.
    pub(crate) fn is_permanent(self) -> bool {
        self == Self::Corrupt
    }

    /// What SQLite's result code, or PostgreSQL's SQLSTATE, says about the storage.
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

const TIMEOUT: &str = "the database has not answered in time";

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(error) => error.fmt(f),
            Self::Row(row) => row.fmt(f),
            Self::Refused(error) => error.fmt(f),
            Self::Timeout => f.write_str(TIMEOUT),
            Self::File(fault) => fault.fmt(f),
        }
    }
}

impl From<DbErr> for Failure {
    fn from(error: DbErr) -> Self {
        Self::Database(error)
    }
}

impl From<BrokenRow> for Failure {
    fn from(row: BrokenRow) -> Self {
        Self::Row(row)
    }
}

impl Failure {
    /// Whether the database undid everything, because somebody else was at the same rows: a deadlock, or transactions that
    /// cannot be put into an order.
    pub(crate) fn was_undone(&self) -> bool {
        let code = match self {
            Self::Database(error) => driver_error(error).and_then(|error| error.as_database_error()?.code()),
            Self::Row(_) | Self::Refused(_) | Self::Timeout | Self::File(_) => None,
        };
        code.is_some_and(|code| UNDONE.contains(&&*code))
    }

    /// What it says about the storage below the database, if it does.
    pub(crate) fn storage_fault(&self) -> Option<StorageFault> {
        match self {
            Self::Database(error) => storage_fault(error),
            Self::File(fault) => Some(StorageFault::File(*fault)),
            Self::Row(_) | Self::Refused(_) | Self::Timeout => None,
        }
    }

    /// Whether the statement broke a uniqueness rule: somebody was faster.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Database(error) if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))))
    }
}

/// What a task of our own has brought; its panic goes on here. `None`: it was ended, because the process is ending.
pub(crate) fn finished<T>(task: Result<T, JoinError>) -> Option<T> {
    match task.map_err(JoinError::try_into_panic) {
        Ok(outcome) => Some(outcome),
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        Err(Err(_)) => None,
    }
}

/// What must be there.
pub(crate) fn there<T>(found: Option<T>) -> Result<T, Failure> {
    found.ok_or(Failure::Refused(Error::NotFound))
}

impl From<Failure> for Outage {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Row(row) => Self::Broken(Box::new(row)),
            Failure::Timeout => Self::Unavailable(TIMEOUT.into()),
            Failure::File(fault) => Self::Unavailable(Box::new(fault)),
            Failure::Refused(error) => Self::Broken(Box::new(error)),
            Failure::Database(error) if is_away(&error) => Self::Unavailable(Box::new(error)),
            Failure::Database(error) => Self::Broken(Box::new(error)),
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(error) => error,
            // What it refers to went in between.
            Failure::Database(error) if matches!(error.sql_err(), Some(SqlErr::ForeignKeyConstraintViolation(_))) => {
                Self::NotFound
            }
            other => Self::Outage(other.into()),
        }
    }
}

/// One failure of a batch, told to one of those who waited for it.
pub(crate) fn shared(failure: &Arc<Failure>) -> Outage {
    let source = Box::new(Shared(failure.clone()));
    match &**failure {
        Failure::Timeout | Failure::File(_) => Outage::Unavailable(source),
        Failure::Database(error) if is_away(error) => Outage::Unavailable(source),
        Failure::Database(_) | Failure::Row(_) | Failure::Refused(_) => Outage::Broken(source),
    }
}

#[derive(Debug)]
struct Shared(Arc<Failure>);

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Shared {}

/// What an outage that was told to a request says about the storage, if it does.
pub(crate) fn storage_fault_of(outage: &Outage) -> Option<StorageFault> {
    let (Outage::Unavailable(source) | Outage::Broken(source)) = outage;
    if let Some(shared) = source.downcast_ref::<Shared>() {
        return shared.0.storage_fault();
    }
    source.downcast_ref::<DbErr>().and_then(storage_fault)
}

fn storage_fault(error: &DbErr) -> Option<StorageFault> {
    StorageFault::by_code(&driver_error(error)?.as_database_error()?.code()?)
}

fn is_away(error: &DbErr) -> bool {
    matches!(error, DbErr::ConnectionAcquire(_)) || driver_error(error).is_some_and(is_away_to_driver)
}

/// Whether another process has SQLite's file for itself.
pub(crate) fn is_locked(error: &DbErr) -> bool {
    let code = driver_error(error).and_then(|error| error.as_database_error()?.code()?.parse::<u32>().ok());
    code.is_some_and(|code| [BUSY, LOCKED].contains(&(code & 0xff)))
}

/// Whether the user of the database lacks a privilege (PostgreSQL's `insufficient_privilege`).
pub(crate) fn is_not_allowed(error: &DbErr) -> bool {
    driver_error(error).and_then(|error| error.as_database_error()?.code()).is_some_and(|code| code == "42501")
}

fn driver_error(error: &DbErr) -> Option<&sqlx::Error> {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error)) => Some(error),
        _ => None,
    }
}

fn is_away_to_driver(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| is_away_by_code(&code)),
        _ => false,
    }
}

/// PostgreSQL: serialization failure, deadlock.
const UNDONE: [&str; 2] = ["40001", "40P01"];

/// SQLite's primary result codes for what may be over soon.
const BUSY: u32 = 5;
const LOCKED: u32 = 6;
const READ_ONLY: u32 = 8;
const IO_ERROR: u32 = 10;
const FULL: u32 = 13;
const CANNOT_OPEN: u32 = 14;

/// SQLite's primary result codes for a damaged file.
const CORRUPT: u32 = 11;
const NOT_A_DATABASE: u32 = 26;

/// PostgreSQL: SQLSTATE, five characters. SQLite: the extended result code, whose low byte is the primary one.
fn is_away_by_code(code: &str) -> bool {
    if code.len() == 5 {
        // Connection exceptions, insufficient resources, operator intervention; others at the same rows all the time; and a
        // server that is read-only because another one has become the primary.
        return ["08", "53", "57"].iter().any(|class| code.starts_with(class))
            || UNDONE.contains(&code)
            || code == "25006";
    }
    code.parse::<u32>()
        .is_ok_and(|code| [BUSY, LOCKED, READ_ONLY, IO_ERROR, FULL, CANNOT_OPEN].contains(&(code & 0xff)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_was_ended_is_no_panic() {
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(std::future::pending::<u8>());
        tasks.abort_all();
        assert_eq!(finished(tasks.join_next().await.expect("a task")), None);
        tasks.spawn(std::future::ready(1));
        assert_eq!(finished(tasks.join_next().await.expect("a task")), Some(1));
    }
}
