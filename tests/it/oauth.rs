//! OAuth 2.0: introspection, tokens, revocation, metadata.

pub(crate) mod clients;
pub(crate) mod exchange;
pub(crate) mod introspection;
pub(crate) mod metadata;
pub(crate) mod requests;
pub(crate) mod revocation;
pub(crate) mod workload;
