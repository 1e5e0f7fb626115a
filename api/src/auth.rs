//! Authentication and authorization of requests: credentials, tokens, signing in at providers, rate limits, and the audit log of denied changes.

pub mod attempts;
pub mod audit_denials;
pub mod authenticator;
pub mod authorized;
pub mod credentials;
pub mod jwt;
pub mod limiter;
pub mod request_rate;
pub mod sign_in;
pub mod sign_up_gate;
pub mod webauthn;
