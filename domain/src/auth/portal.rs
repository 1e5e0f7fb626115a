//! The customers' portal: a small page on which a customer of an organization manages their own keys.
//!
//! The backend of the organization creates a [portal session](session::PortalSession) for one customer, and gives the
//! customer the link of it. The page exchanges the secret of the link once for a token, and sends that with its requests.
//! A session never allows more than the key that created it: each request is authorized again with that key.

mod keys;
mod service;
pub mod session;
pub mod settings;
pub mod token;
pub mod web_address;

pub use keys::{NewPortalKey, PortalKey};
pub use service::{NewPortalSession, PortalAuthority, PortalPorts, PortalService};
