//! The rules of Claviger, as plain values and functions.
//!
//! An [organization](organization::Organization) owns [API keys](api_key::ApiKey).
//! A key carries a [permission set](permission::PermissionSet); the holder of its [secret](secret::Secret) is a
//! [caller](caller::Caller) with [grants](grants::Grants) in that organization.
//! The use cases ([`keys`], [`organizations`], [`authenticate`], [`people`],
//! [`sessions`], [`tokens`], [`enroll`], [`bootstrap`]) reach the world only through [`ports`].
//!
//! What is not here: no I/O, no async runtime, no serialization, no HTTP, no SQL. Time and randomness come in as
//! values ([`clock`]).
#![deny(missing_docs)]

pub mod act;
pub mod addresses;
pub mod api_key;
pub mod audit;
pub mod audit_log;
pub mod authenticate;
pub mod bootstrap;
pub mod bounds;
pub mod caller;
pub mod change;
pub mod clock;
pub mod cooperation;
pub mod enroll;
pub mod error;
pub mod grants;
pub mod id;
pub mod identity;
pub mod keys;
pub mod listing;
pub mod organization;
pub mod organizations;
pub mod people;
pub mod permission;
pub mod permission_sets;
pub mod ports;
pub mod quota;
pub mod reach;
pub mod refusal;
pub mod secret;
pub mod session;
pub mod sessions;
pub mod snapshot;
pub mod text;
pub mod token;
pub mod tokens;
pub mod usage;
pub mod user;
pub mod uses;
pub mod verdict;

pub use error::{Error, Outage};
