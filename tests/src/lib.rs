//! The test harness: starts the service, creates organizations and keys, and sends requests.
//!
//! Every test has its own service, with its own port and database, and with a clock that stands still until the test moves it.
//! The databases are SQLite files. With the feature `postgres` they are on the PostgreSQL server in
//! `CLAVIGER_TEST_POSTGRES_URL`, whose user must be a superuser.

mod app;
mod authenticator;
mod caller;
mod captured_log;
pub mod cluster;
mod database;
pub mod earlier_schema;
mod pooler;
mod postgres;
mod process;
mod provider;
mod proxy;
pub mod revocation;
mod small_disk;
mod sql_fixtures;
mod sql_identities;
mod sql_many_rows;
mod sql_usage;
mod tampering;
mod tcp;
mod test_clock;
mod wait;

pub use crate::sql_fixtures::{AuditEvent, RowLock, Tampering};
pub use crate::test_clock::TestClock;
pub use app::{KeySpec, Tenant, TestApp, signing_key, test_config, write_secret};
pub use authenticator::{Authenticator, SoftCredential};
pub use caller::{Answer, Caller, Scheme};
pub use captured_log::CapturedLog;
pub use database::{Notifications, TestDatabase};
pub use pooler::{POOLER_PASSWORD, Pooler};
pub use postgres::PostgresServer;
pub use process::{Process, binary, binary_after, run_to_end};
pub use provider::{Provider, SigningKey, read_issuers};
pub use proxy::{
    CommitCut, Flow, Proxy,
    statement_log::{Burst, StatementLog},
};
pub use small_disk::SmallDisk;
pub use tampering::{Column, Manipulation, Tamperer};
pub use tcp::{wait_until_read, wait_until_read_blocking};
pub use wait::{MAX_WAIT, wait_until, wait_until_blocking, wait_until_refused, within};
