//! JSON Web Tokens (RFC 7519): validates access tokens of identity providers, and signs and validates those of this service.

mod checkpoints;
pub mod claims;
pub mod issuers;
mod issuers_fields;
pub mod issuers_sign_in;
mod jwks;
mod jwks_fetch;
pub mod keyring;
pub(crate) mod provider_http;
pub mod provider_tokens;
mod prune_records;
pub mod revoked;

/// Normalizes the `typ` of a token for comparison: media types are case-insensitive, and the prefix `application/` may be omitted
/// (RFC 7515 §4.1.9).
fn token_type(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    lower.strip_prefix("application/").unwrap_or(&lower).to_owned()
}

/// Whether a credential is a JWT and not an API key: a JWT contains dots, an API key never does. Nothing else is checked.
#[must_use]
pub fn is_jwt(text: &str) -> bool {
    text.contains('.')
}
