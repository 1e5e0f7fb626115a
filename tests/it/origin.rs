//! Where clients reach the service: the public URL with its base path, requests without one, and pages of other origins (CORS).

pub(crate) mod base_path;
pub(crate) mod cors;
pub(crate) mod public_url;
