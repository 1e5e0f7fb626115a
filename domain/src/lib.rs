//! The domain of Claviger: its rules, as plain values and functions.
//!
//! An [organization](organizations::organization::Organization) owns [API keys](keys::api_key::ApiKey). A key has
//! [permissions](permissions::Permissions); a client that authenticates with its [secret](keys::secret::Secret)
//! is a [caller](auth::caller::Caller) with [effective permissions](auth::effective_permissions::EffectivePermissions)
//! in that organization. The operations ([`keys`], [`verify`], [`auth`], [`organizations`], [`audit`]) use databases
//! and other systems only through [`ports`].
//! This crate contains no I/O, no async runtime, no serialization, no HTTP and no SQL. Time and randomness are ports,
//! too ([`clock`]).
#![deny(missing_docs)]

pub mod audit;
pub mod audit_log;
pub mod auth;
pub mod bounds;
pub mod broken_rule;
pub mod change;
pub mod clock;
mod coded_enum;
pub mod cooperation;
pub mod deny_reason;
pub mod error;
pub mod id;
pub mod keys;
mod optimistic;
pub mod organizations;
pub mod permissions;
pub mod ports;
pub mod usage;
pub mod validated_string;
pub mod verify;

pub use error::{Error, Outage};
