//! The harness: start the service, make an organization, be a caller.
//!
//! Every test has a service of its own, on a port and a database of its own, with a clock that stands still until the test
//! moves it. `CLAVIGER_TEST_POSTGRES_URL` in the environment puts the databases on that PostgreSQL server (its user must
//! be a superuser); without it they are SQLite files.

mod aging;
mod app;
mod caller;
pub mod cluster;
mod database;
mod postgres;
mod process;
mod provider;
mod proxy;
pub mod revocation;
mod small_disk;
mod world;

pub use aging::{AuditEvent, Holder, Tampering};
pub use app::{KeySpec, Tenant, TestApp, signing_key, test_config, write_secret};
pub use caller::{Answer, Caller, Scheme};
pub use database::TestDatabase;
pub use postgres::PostgresServer;
pub use process::{Process, binary, binary_after};
pub use provider::{Provider, SigningKey, written};
pub use proxy::{CommitCut, Flow, Proxy};
pub use small_disk::SmallDisk;
pub use world::TestClock;
