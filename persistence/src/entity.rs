//! Rows as the database holds them: raw column types, no rules. [`crate::convert`] is the only door to the domain.
#![expect(unreachable_pub, reason = "the entity macro needs public items")]
#![expect(clippy::struct_field_names, reason = "columns are called as they are")]

pub(crate) mod api_key;
pub(crate) mod api_key_permission_set;
pub(crate) mod api_key_secret;
pub(crate) mod api_key_usage;
pub(crate) mod audit_chain;
pub(crate) mod audit_event;
pub(crate) mod identity;
pub(crate) mod imported_secret;
pub(crate) mod imported_shape;
pub(crate) mod membership;
pub(crate) mod membership_permission_set;
pub(crate) mod organization;
pub(crate) mod organization_usage;
pub(crate) mod permission_set;
pub(crate) mod request;
pub(crate) mod retention_run;
pub(crate) mod session;
pub(crate) mod token_family;
pub(crate) mod user;
