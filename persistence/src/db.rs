//! Access to a database: connections, retries, errors, schema, and what differs between SQLite and PostgreSQL ([`dialect`]).

pub(crate) mod clocks;
pub(crate) mod connect;
pub(crate) mod count;
pub(crate) mod database_file;
pub(crate) mod dialect;
pub(crate) mod error;
pub(crate) mod health;
pub(crate) mod open;
pub(crate) mod postgres;
pub(crate) mod process_lock;
pub(crate) mod reachability;
pub(crate) mod retry;
pub(crate) mod schema;
pub(crate) mod steady_clock;
pub(crate) mod turns;

/// The most rows in one statement. SQLite takes at most 32,766 parameters and PostgreSQL 65,535.
pub(crate) const MAX_ROWS_PER_STATEMENT: usize = 500;
