//! The integration tests: the service as its callers see it. Every test runs on SQLite and on PostgreSQL.

mod athena;
mod athena_leniency;
mod athena_rules;
mod binary;
mod bulk;
mod cache;
mod clients;
mod credentials;
mod crossing;
mod edge;
mod grants;
mod house;
mod isolation;
mod limits;
mod livekit;
mod locktera;
mod native_verify;
mod outage;
mod paging;
mod shutdown;
mod verify;
