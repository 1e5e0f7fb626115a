//! Rows as the database holds them: raw column types, no rules. [`crate::convert`] is the only door to the domain.
#![expect(unreachable_pub, reason = "the entity macro needs public items")]

pub(crate) mod api_key;
pub(crate) mod api_key_secret;
pub(crate) mod membership;
pub(crate) mod organization;
pub(crate) mod user;
