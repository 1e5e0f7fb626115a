//! The port of idempotency records. That a request was executed is recorded in the transaction of its change.

use async_trait::async_trait;

use crate::{
    audit::context::IdempotencyKey,
    clock::Timestamp,
    error::{Error, Outage},
};

/// The responses to requests with an idempotency key in the last 12 hours.
#[async_trait]
pub trait IdempotencyRecords: Send + Sync {
    /// The response to this request. `None`: it was not executed.
    ///
    /// # Errors
    /// [`Error::IdempotencyKeyReused`] if the body was different; [`Error::IdempotentRequestInProgress`] if it was
    /// executed and its response is not stored, or not yet; [`Error::IdempotentResponseNotStored`] if the response was
    /// too large.
    async fn find(&self, key: &IdempotencyKey, now: Timestamp) -> Result<Option<String>, Error>;

    /// The number of idempotency keys that an organization may use in an hour, as far as this process knows. It is
    /// lower while all organizations together use very many.
    fn max_per_hour(&self) -> u64;

    /// Stores the response to an executed request, or only that there was one if it is too large. The response contains
    /// no secret.
    async fn store_response(&self, key: &IdempotencyKey, response: &str) -> Result<(), Outage>;
}
