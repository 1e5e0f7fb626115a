//! The port of the audit log. Events of changes are not written through it, but by the methods that make the changes,
//! in the same transaction.

use async_trait::async_trait;
use uuid::Uuid;

use crate::{
    audit::{
        ChainHash, ChainHead, Checkpoint, Event, EventOutcome, Front, IntegrityError, LateStart, PruneRecord,
        context::{Action, AuditContext},
        reason::EventDetail,
    },
    clock::Timestamp,
    error::Outage,
    id::OrganizationId,
};

/// A denied request or an alarm, or a frequent event. Equal ones are merged into one event.
#[derive(Clone, Debug)]
pub struct MergedEvent {
    /// The context of the action.
    pub context: AuditContext,
    /// The result.
    pub outcome: EventOutcome,
    /// Why the action was denied, or the secret that an alarm is about. `None`: neither.
    pub detail: Option<EventDetail>,
    /// The id of the object of the action, as in [`Event::target`].
    pub target: Uuid,
}

impl MergedEvent {
    /// An action that was executed.
    #[must_use]
    pub fn done(context: AuditContext, target: Uuid) -> Self {
        Self { context, outcome: EventOutcome::Done, detail: None, target }
    }
}

/// A filter of events: those that match all conditions. `None`: no condition.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// The action is one of these.
    pub actions: Option<Vec<Action>>,
    /// The result of the action.
    pub outcome: Option<EventOutcome>,
    /// The id of the key or user that did it.
    pub actor: Option<Uuid>,
    /// The id of the object of the action, as in [`Event::target`].
    pub target: Option<Uuid>,
    /// The event happened at this time or later (UTC, inclusive).
    pub since: Option<Timestamp>,
    /// The event happened before this time (UTC, exclusive).
    pub until: Option<Timestamp>,
}

/// A cursor in a list of events, which is sorted newest first. It is a position in the log of one organization, and
/// discloses nothing about those of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// Before the event with this sequence number.
    Before(u64),
    /// After this number of events without a sequence number, which are last. They were written before there were hash
    /// chains.
    Unchained(u64),
}

/// A stored event with its hash.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    /// The cursor after this event.
    pub next: Position,
    /// The event. Its `seq` is 0 if it has no sequence number.
    pub event: Event,
    /// The chain hash up to this event. `None`: it was written before there were hash chains.
    pub hash: Option<ChainHash>,
}

/// The stored state of a log.
#[derive(Clone, Debug)]
pub struct Chain {
    /// The last event that retention removed. The log begins after it; sequence number 0 if none was removed.
    pub begin: ChainHead,
    /// The last event.
    pub end: ChainHead,
    /// The signed record of removed events that is stored with the log, see [`PruneSigner`]. `None`: there is none.
    pub prune_record: Option<String>,
    /// The newest signed checkpoint that is stored with the log, see [`CheckpointSigner`]. `None`: there is none.
    pub checkpoint: Option<String>,
    /// The sequence number of the last event of that checkpoint; 0 without one.
    pub checkpoint_seq: u64,
    /// Whether the stored hashes of `begin` and `end` have 32 bytes. An invalid hash is read as
    /// [`ChainHash::BEGINNING`].
    pub has_valid_hashes: bool,
}

impl Chain {
    /// What is known about the events that are missing from the beginning. Without `signer`, no record is trusted.
    #[must_use]
    pub fn front(&self, signer: Option<&dyn PruneSigner>) -> Front {
        if self.begin.seq == 0 {
            return Front::Whole;
        }
        let record = signer.zip(self.prune_record.as_deref()).and_then(|(signer, text)| signer.read_prune_record(text));
        let record = record.filter(|record| record.start == self.begin);
        record.map_or(Front::Unsigned(self.begin.seq), Front::Pruned)
    }

    /// The stored checkpoint. `None`: there is none, or none of the keys of `signer` has signed it.
    ///
    /// # Errors
    /// [`IntegrityError::InvalidHash`]; [`IntegrityError::Checkpoint`] if the checkpoint is of another log or sequence
    /// number, or was removed.
    pub fn checkpoint(&self, signer: Option<&dyn CheckpointSigner>) -> Result<Option<Checkpoint>, IntegrityError> {
        if !self.has_valid_hashes {
            return Err(IntegrityError::InvalidHash);
        }
        let Some(text) = self.checkpoint.as_deref() else {
            return if self.checkpoint_seq == 0 { Ok(None) } else { Err(IntegrityError::Checkpoint) };
        };
        let Some(checkpoint) = signer.and_then(|signer| signer.read_checkpoint(text)) else { return Ok(None) };
        let is_own =
            checkpoint.head.organization == self.end.organization && checkpoint.head.seq == self.checkpoint_seq;
        if is_own { Ok(Some(checkpoint)) } else { Err(IntegrityError::Checkpoint) }
    }
}

/// The numbers of stored events of an organization, counted in one database snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventCounts {
    /// The sequence number of the last removed event; the log begins after it.
    pub begin: u64,
    /// The sequence number of the last event.
    pub end: u64,
    /// The number of events between these.
    pub inside: u64,
    /// The number of events with other sequence numbers.
    pub outside: u64,
    /// The number of events without a sequence number, which older versions have written.
    pub unsequenced: u64,
    /// How many of these are newer than the first event with a sequence number.
    pub unsequenced_late: u64,
}

/// Signs records of removed events, and verifies their signatures.
pub trait PruneSigner: Send + Sync {
    /// Signs a record.
    fn sign_prune_record(&self, record: &PruneRecord) -> String;

    /// Reads a signed record. `None`: it is not valid, or signed by none of the keys of this service.
    fn read_prune_record(&self, text: &str) -> Option<PruneRecord>;
}

/// Signs checkpoints, and verifies their signatures.
pub trait CheckpointSigner: PruneSigner {
    /// Signs a checkpoint.
    fn sign_checkpoint(&self, checkpoint: &Checkpoint) -> String;

    /// Reads a signed checkpoint. `None`: it is not valid, or signed by none of the keys of this service.
    fn read_checkpoint(&self, text: &str) -> Option<Checkpoint>;
}

/// The stored audit logs.
#[async_trait]
pub trait AuditLog: Send + Sync {
    /// Buffers an event, to be written later. Equal events are merged into one a minute, alarms into one an
    /// hour. After 100 different events of an organization, the others are counted in one event. Does not block and
    /// cannot fail.
    fn record_merged(&self, event: MergedEvent);

    /// Lists at most `limit` events of an organization after `position`, newest first. Buffered events that are due
    /// are written before.
    async fn list(
        &self,
        organization: OrganizationId,
        filter: &EventFilter,
        position: Option<Position>,
        limit: u64,
    ) -> Result<Vec<StoredEvent>, Outage>;

    /// Whether an organization has a log. The organization may be deleted.
    async fn has_log(&self, organization: OrganizationId) -> Result<bool, Outage>;

    /// The log of an organization. `None`: it has none.
    async fn chain(&self, organization: OrganizationId) -> Result<Option<Chain>, Outage>;

    /// Lists at most `limit` logs, sorted by organization id, beginning after `after` (`None`: with the first).
    async fn chains(&self, after: Option<OrganizationId>, limit: u64) -> Result<Vec<Chain>, Outage>;

    /// Lists at most `limit` events after the sequence number `seq`, in order.
    async fn events(&self, organization: OrganizationId, seq: u64, limit: u64) -> Result<Vec<StoredEvent>, Outage>;

    /// Lists at most `limit` logs whose stored checkpoint is not at their end, sorted by organization id, beginning
    /// after `after` (`None`: with the first).
    async fn chains_without_checkpoint(&self, after: Option<OrganizationId>, limit: u64) -> Result<Vec<Chain>, Outage>;

    /// Stores signed checkpoints, except for logs that have a newer one.
    async fn store_checkpoints(&self, signed: Vec<(ChainHead, String)>) -> Result<(), Outage>;

    /// Counts the stored events without a sequence number of an organization.
    async fn count_unsequenced(&self, organization: OrganizationId) -> Result<u64, Outage>;

    /// Counts the stored events of an organization. `None`: it has no log.
    async fn account(&self, organization: OrganizationId) -> Result<Option<EventCounts>, Outage>;

    /// Lists at most `limit` organizations that exist or have stored events, but have no log, sorted by id, beginning
    /// after `after` (`None`: with the first). `only`: only this organization.
    async fn organizations_without_log(
        &self,
        only: Option<OrganizationId>,
        after: Option<OrganizationId>,
        limit: u64,
    ) -> Result<Vec<OrganizationId>, Outage>;

    /// Reports to the operator that a log is not intact, at most once an hour for each log. Does not block.
    fn report_broken(&self, organization: OrganizationId, broken: IntegrityError);

    /// Reports to the operator that a log begins too late and gets its first checkpoint now. Does not block.
    fn report_late_start(&self, organization: OrganizationId, late_start: LateStart);
}
