//! Signed checkpoints: the last event of a log at some time. The signing key is not stored in the database.

use super::ChainHead;
use crate::clock::Timestamp;

/// How long an event may be without a signed checkpoint, in milliseconds: ten minutes. The service signs one each
/// minute.
pub const MAX_UNSIGNED_MS: u64 = 10 * 60 * 1_000;

/// A checkpoint: the last event of a log at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The last event.
    pub head: ChainHead,
    /// When the checkpoint was signed.
    pub at: Timestamp,
    /// The first checkpoint of the series that this one continues. `None`: it was signed by a version that did not
    /// record it.
    pub first: Option<FirstCheckpoint>,
    /// The number of events without a sequence number that the log had at the first checkpoint. It never increases.
    /// `None`: the checkpoint was signed by a version that did not record it.
    pub unsequenced: Option<u64>,
}

/// The first of a series of checkpoints. Each later one was signed only after the events since the previous one had
/// been verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstCheckpoint {
    /// The sequence number of the last event at that time.
    pub seq: u64,
    /// When it was signed.
    pub at: Timestamp,
}

impl Checkpoint {
    /// The first checkpoint of the series; this checkpoint itself if the first one was not recorded.
    #[must_use]
    pub fn first(&self) -> FirstCheckpoint {
        self.first.unwrap_or(FirstCheckpoint { seq: self.head.seq, at: self.at })
    }
}
