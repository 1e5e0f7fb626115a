//! JSON Web Tokens (RFC 7519): those of identity providers, which callers show, and our own, which we sign.

pub mod issuers;
mod jwks;
pub mod keyring;
pub mod outside;
mod prune_records;
pub mod revoked;

/// The type of a token, in the form that two are compared in: media types are the same in any case, and `application/` may
/// be left out (RFC 7515 §4.1.9).
fn token_type(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    lower.strip_prefix("application/").unwrap_or(&lower).to_owned()
}

/// Whether a credential is written as a token: parts with dots between them. No API key contains a dot.
#[must_use]
pub fn is_jwt(text: &str) -> bool {
    text.contains('.')
}
