//! The integration tests: the service as its callers see it. Every test runs on SQLite and on PostgreSQL.

mod binary;
mod clients;
mod credentials;
mod edge;
mod grants;
mod house;
mod isolation;
mod livekit;
mod locktera;
mod outage;
mod paging;
mod shutdown;
