//! Access to a database: connections, retries, errors, schema, and what differs between SQLite and PostgreSQL ([`dialect`]).

pub(crate) mod bulk_insert;
pub(crate) mod candidates;
pub(crate) mod clocks;
pub(crate) mod connect;
pub(crate) mod count;
pub(crate) mod counter_journal;
pub(crate) mod database_file;
pub(crate) mod dialect;
pub(crate) mod error;
pub(crate) mod health;
pub(crate) mod message_size;
pub(crate) mod open;
pub(crate) mod planner_statistics;
pub(crate) mod postgres;
pub(crate) mod process_lock;
pub(crate) mod reachability;
pub(crate) mod retry;
pub(crate) mod schema;
pub(crate) mod steady_clock;
pub(crate) mod turns;

/// The most ids in the list of a statement. On PostgreSQL each is sent with 22 bytes, so that they fit into
/// [`message_size::MAX_PARAMETER_BYTES`]. Also the most rows in an `INSERT` on SQLite, which takes at most 32,766 parameters.
pub(crate) const MAX_ROWS_PER_STATEMENT: usize = 500;
