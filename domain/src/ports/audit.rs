//! What the log of changes asks of the world. What is done is noted by those who do it, in the same transaction.

use async_trait::async_trait;
use uuid::Uuid;

use crate::{
    act::{Act, Action},
    audit::{ChainHash, Event, Front, Head, Outcome, PruneRecord},
    clock::Timestamp,
    error::Outage,
    id::OrganizationId,
};

/// Something that was not done, or must not happen.
#[derive(Clone, Debug)]
pub struct Notable {
    /// What somebody wanted to do.
    pub act: Act,
    /// What came of it.
    pub outcome: Outcome,
    /// Why.
    pub reason: String,
    /// To what.
    pub target: Uuid,
}

/// Which events of a log are asked for: those for which all of this holds.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// What was done: one of these.
    pub actions: Option<Vec<Action>>,
    /// What came of it.
    pub outcome: Option<Outcome>,
    /// The key or user that did it.
    pub actor: Option<Uuid>,
    /// To what.
    pub target: Option<Uuid>,
    /// From this moment on.
    pub since: Option<Timestamp>,
    /// Before this moment.
    pub until: Option<Timestamp>,
}

/// Where a list of events goes on, the newest first. It is a place in the log of one organization, and says nothing about those
/// of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// Before the event with this `seq`.
    Before(u64),
    /// After so many of the events of before there was a chain, which come last.
    Unchained(u64),
}

/// An event with its hash. Those of before there was a chain have none.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Where a list goes on after it.
    pub next: Position,
    /// The event; without a chain its `seq` is 0.
    pub event: Event,
    /// What it and all before it come to.
    pub hash: Option<ChainHash>,
}

/// A chain: where it begins, because what was before is removed, and where it ends.
#[derive(Clone, Debug)]
pub struct Chain {
    /// After this one it begins.
    pub begin: Head,
    /// The end.
    pub end: Head,
    /// The signed record of pruning that is stored with it; see [`PruneSigner`].
    pub prune_record: Option<String>,
}

impl Chain {
    /// What is known of the events that are gone from its front.
    #[must_use]
    pub fn front(&self, signer: Option<&dyn PruneSigner>) -> Front {
        if self.begin.seq == 0 {
            return Front::Whole;
        }
        let record = signer.zip(self.prune_record.as_deref()).and_then(|(signer, text)| signer.read_prune_record(text));
        let record = record.filter(|record| record.start == self.begin);
        record.map_or(Front::Unsigned(self.begin.seq), Front::Pruned)
    }
}

/// Signs records that the front of a log was pruned.
pub trait PruneSigner: Send + Sync {
    /// The record as a signed text.
    fn sign_prune_record(&self, record: &PruneRecord) -> String;

    /// The record in a text, if this service signed it.
    fn read_prune_record(&self, text: &str) -> Option<PruneRecord>;
}

/// The log.
#[async_trait]
pub trait AuditLog: Send + Sync {
    /// Takes what is to be noted. Those that are alike become one event a minute, alarms one an hour. Never waits and never
    /// fails.
    fn gather(&self, notable: Notable);

    /// At most `limit` events of an organization from `position` on, the newest first; what was gathered here and is due is among
    /// them.
    async fn list(
        &self,
        organization: OrganizationId,
        filter: &EventFilter,
        position: Option<Position>,
        limit: u64,
    ) -> Result<Vec<Stored>, Outage>;

    /// Whether an organization has a log, even if it is gone itself.
    async fn has_log(&self, organization: OrganizationId) -> Result<bool, Outage>;

    /// The chain of an organization.
    async fn chain(&self, organization: OrganizationId) -> Result<Option<Chain>, Outage>;

    /// At most `limit` chains after that of `after`, in the order of the organizations.
    async fn chains(&self, after: Option<OrganizationId>, limit: u64) -> Result<Vec<Chain>, Outage>;

    /// At most `limit` events of a chain after its `seq`, in order.
    async fn events(&self, organization: OrganizationId, seq: u64, limit: u64) -> Result<Vec<Stored>, Outage>;

    /// The ends of all chains that have grown since a moment.
    async fn grown(&self, since: Timestamp) -> Result<Vec<Head>, Outage>;
}
