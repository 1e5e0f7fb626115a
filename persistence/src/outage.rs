//! What a failed statement means: the database is away (ask again later), or something is broken.

use std::{fmt, sync::Arc};

use domain::Outage;
use sea_orm::{DbErr, RuntimeErr, SqlErr, sqlx};

use crate::convert::BrokenRow;

/// A failure on the way to an answer, before the domain hears of it.
#[derive(Debug)]
pub(crate) enum Failure {
    Database(DbErr),
    Row(BrokenRow),
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
    /// Whether the statement broke a uniqueness rule: somebody was faster.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Database(error) if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))))
    }
}

impl From<Failure> for Outage {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Row(row) => Self::Broken(Box::new(row)),
            Failure::Timeout => Self::Unavailable(TIMEOUT.into()),
            Failure::Database(error) if is_away(&error) => Self::Unavailable(Box::new(error)),
            Failure::Database(error) => Self::Broken(Box::new(error)),
        }
    }
}

/// One failure of a batch, told to one of those who waited for it.
pub(crate) fn shared(failure: &Arc<Failure>) -> Outage {
    let source = Box::new(Shared(failure.clone()));
    match &**failure {
        Failure::Timeout => Outage::Unavailable(source),
        Failure::Database(error) if is_away(error) => Outage::Unavailable(source),
        Failure::Database(_) | Failure::Row(_) => Outage::Broken(source),
    }
}

#[derive(Debug)]
struct Shared(Arc<Failure>);

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Failure::Database(error) => error.fmt(f),
            Failure::Row(row) => row.fmt(f),
            Failure::Timeout => f.write_str(TIMEOUT),
        }
    }
}

impl std::error::Error for Shared {}

fn is_away(error: &DbErr) -> bool {
    match error {
        DbErr::ConnectionAcquire(_) => true,
        DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error)) => is_away_to_driver(error),
        _ => false,
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

/// SQLite's primary result codes for what may be over soon.
const BUSY: u32 = 5;
const LOCKED: u32 = 6;
const IO_ERROR: u32 = 10;
const FULL: u32 = 13;
const CANNOT_OPEN: u32 = 14;

/// PostgreSQL: SQLSTATE, five characters. SQLite: the extended result code, whose low byte is the primary one.
fn is_away_by_code(code: &str) -> bool {
    if code.len() == 5 {
        // Connection exceptions, insufficient resources, operator intervention; serialization failure, deadlock, and a
        // server that is read-only because another one has become the primary.
        return ["08", "53", "57"].iter().any(|class| code.starts_with(class))
            || ["40001", "40P01", "25006"].contains(&code);
    }
    code.parse::<u32>().is_ok_and(|code| [BUSY, LOCKED, IO_ERROR, FULL, CANNOT_OPEN].contains(&(code & 0xff)))
}
