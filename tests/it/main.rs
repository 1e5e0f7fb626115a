//! The integration tests. They run on SQLite, and with the feature `postgres` on PostgreSQL.

mod audit_log;
mod auth;
mod cluster;
mod compat;
mod documents;
mod forward_auth;
mod http;
mod keys;
mod oauth;
mod organizations;
mod origin;
mod passkeys;
mod plain_words;
mod portal;
mod process;
mod tidy;
mod usage;
mod verify;
