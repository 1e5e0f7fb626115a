//! What requests that are to be done once ask of the world. That one was done is noted in the transaction that does it.

use async_trait::async_trait;

use crate::{
    act::Once,
    clock::Timestamp,
    error::{Error, Outage},
};

/// What was answered to requests that are to be done once, in the last 12 hours.
#[async_trait]
pub trait Repeats: Send + Sync {
    /// What was answered to this request; `None`: it was not done.
    ///
    /// # Errors
    /// [`Error::OtherBody`] where it said something else; [`Error::InFlight`] where it was done and its answer is not there, yet
    /// or for ever; [`Error::AnswerNotKept`] where that was too large; [`Error::TooMany`] where it was not done and no further
    /// ones can be noted.
    async fn find(&self, once: &Once, now: Timestamp) -> Result<Option<String>, Error>;

    /// Keeps the answer to a request that was done, or that there was one which is too large. It holds no secret.
    async fn keep(&self, once: &Once, answer: &str) -> Result<(), Outage>;
}
