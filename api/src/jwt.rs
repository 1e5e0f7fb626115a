//! JSON Web Tokens (RFC 7519): those of identity providers, which callers show, and our own, which we sign.

pub mod issuers;
mod jwks;
pub mod keyring;
pub mod outside;
pub mod revoked;

/// Whether a credential is written as a token: parts with dots between them. No API key contains a dot.
#[must_use]
pub fn is_jwt(text: &str) -> bool {
    text.contains('.')
}
