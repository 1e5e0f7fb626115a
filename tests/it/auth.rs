//! Credentials, sessions, tokens and identity providers, and their permissions.

pub(crate) mod credentials;
pub(crate) mod effective_permissions;
pub(crate) mod idp;
pub(crate) mod idp_algorithms;
pub(crate) mod idp_claims;
pub(crate) mod idp_keys;
pub(crate) mod idp_permissions;
pub(crate) mod idp_providers;
pub(crate) mod idp_provisioning;
pub(crate) mod idp_refusals;
pub(crate) mod isolation;
pub(crate) mod operations;
pub(crate) mod order;
pub(crate) mod reserved_permissions;
pub(crate) mod revoked_tokens;
pub(crate) mod sessions;
pub(crate) mod sessions_ended;
pub(crate) mod sign_in;
pub(crate) mod signing_keys;
pub(crate) mod token_matrix;
pub(crate) mod tokens;
