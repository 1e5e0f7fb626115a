//! Verifying keys: lookup in the cache or the database, the decision, and counting uses.

pub mod cached_key;
pub(crate) mod decide;
pub(crate) mod explain;
mod introspect;
pub mod lookup;
pub mod result;
pub mod usage_counter;

use std::sync::Arc;

pub use crate::verify::{
    decide::{KeyVerifier, Progress, Requester, VerifyRequest},
    explain::{Check, CheckKind, Explanation, MalformedSecret},
};
use crate::{clock::Timestamp, ports::Usage, verify::cached_key::CachedKey};

/// Counts successful verify requests of a key, or with 0 its use as a credential. They are stored within about a
/// second.
pub(crate) fn record_use(usage: &dyn Usage, key: &Arc<CachedKey>, verifies: u64, at: Timestamp) {
    if let Some(stored) = key.uses().add(verifies, at) {
        usage.gather(key.clone(), stored);
    }
}
