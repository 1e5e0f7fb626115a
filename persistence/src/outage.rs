//! What a failed statement means: the database is away (ask again later), or something is broken.

use std::{fmt, sync::Arc};

use domain::{Error, Outage};
use sea_orm::{DbErr, RuntimeErr, SqlErr, sqlx};

use crate::convert::BrokenRow;

/// A failure on the way to an answer, before the domain hears of it.
#[derive(Debug)]
pub(crate) enum Failure {
    Database(DbErr),
    Row(BrokenRow),
    /// A rule that only the transaction can look at stopped it.
    Refused(Error),
    /// The database has not answered in time.
    Timeout,
}

const TIMEOUT: &str = "the database has not answered in time";

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
            Self::Row(_) | Self::Refused(_) | Self::Timeout => None,
        };
        code.is_some_and(|code| UNDONE.contains(&&*code))
    }

    /// Whether the statement broke a uniqueness rule: somebody was faster.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Database(error) if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))))
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
        Failure::Timeout => Outage::Unavailable(source),
        Failure::Database(error) if is_away(error) => Outage::Unavailable(source),
        Failure::Database(_) | Failure::Row(_) | Failure::Refused(_) => Outage::Broken(source),
    }
}

#[derive(Debug)]
struct Shared(Arc<Failure>);

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Failure::Database(error) => error.fmt(f),
            Failure::Row(row) => row.fmt(f),
            Failure::Refused(error) => error.fmt(f),
            Failure::Timeout => f.write_str(TIMEOUT),
        }
    }
}

impl std::error::Error for Shared {}

fn is_away(error: &DbErr) -> bool {
    matches!(error, DbErr::ConnectionAcquire(_)) || driver_error(error).is_some_and(is_away_to_driver)
}

/// Whether another process has SQLite's file for itself.
pub(crate) fn is_locked(error: &DbErr) -> bool {
    let code = driver_error(error).and_then(|error| error.as_database_error()?.code()?.parse::<u32>().ok());
    code.is_some_and(|code| [BUSY, LOCKED].contains(&(code & 0xff)))
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
const IO_ERROR: u32 = 10;
const FULL: u32 = 13;
const CANNOT_OPEN: u32 = 14;

/// PostgreSQL: SQLSTATE, five characters. SQLite: the extended result code, whose low byte is the primary one.
fn is_away_by_code(code: &str) -> bool {
    if code.len() == 5 {
        // Connection exceptions, insufficient resources, operator intervention; others at the same rows all the time; and a
        // server that is read-only because another one has become the primary.
        return ["08", "53", "57"].iter().any(|class| code.starts_with(class))
            || UNDONE.contains(&code)
            || code == "25006";
    }
    code.parse::<u32>().is_ok_and(|code| [BUSY, LOCKED, IO_ERROR, FULL, CANNOT_OPEN].contains(&(code & 0xff)))
}
