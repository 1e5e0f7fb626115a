//! The audit log of an organization as a hash chain: the hash of each event covers the event and the hash before it, so
//! that changing, removing or reordering events is detectable. Truncation is detected by comparing with signed
//! checkpoints that were published elsewhere.

mod checkpoint;
pub mod context;
mod late_start;
pub mod reason;
#[cfg(test)]
mod tests;

use std::fmt;

pub use checkpoint::{Checkpoint, FirstCheckpoint, MAX_UNSIGNED_MS};
pub use late_start::LateStart;
use uuid::Uuid;

use crate::{
    audit::context::{Action, Actor},
    clock::Timestamp,
    coded_enum::coded_enum,
    id::{OrganizationId, SessionId},
};

/// Key-derivation context of BLAKE3: separates these hashes from every other use of BLAKE3. It must never change.
const CONTEXT: &str = "claviger 2026-11-21 audit event v1";

coded_enum! {
    /// The result of an action.
    pub enum EventOutcome {
        /// The action was done.
        Done = "done",
        /// The action was denied.
        Denied = "refused",
        /// A sign of misuse that an administrator should investigate.
        Alarm = "alarm",
    }
}

/// An audit event, as it is stored and hashed. It refers to users by id; it contains no names and no e-mail addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The organization whose log contains the event.
    pub organization: OrganizationId,
    /// The sequence number in that log, from 1.
    pub seq: u64,
    /// When it happened (UTC). For merged events: when the first of them happened.
    pub at: Timestamp,
    /// The code of the action, see [`crate::audit::context::Action::code`].
    pub action: String,
    /// The result of the action.
    pub outcome: EventOutcome,
    /// The stored text of the [reason](Event::reason_code), the [secret](Event::secret_start) or the [changed
    /// fields](Event::changed_fields): the hash covers it.
    pub reason: Option<String>,
    /// The id of the object of the action: a key, member, permission set, session, token group or organization.
    pub target: Uuid,
    /// The caller who did it.
    pub actor: Actor,
    /// The session of the request. `None`: the request was not made in a session.
    pub session: Option<SessionId>,
    /// The code of the permission that the action requires. `None`: it requires none.
    pub permission: Option<String>,
    /// The IP address of the client. `None`: not known.
    pub client: Option<String>,
    /// The request id, as it is in the service log. `None`: the event does not belong to a request.
    pub request_id: Option<String>,
    /// The number of equal events that are merged into this one: 1 if none were merged.
    pub count: u64,
}

/// The hash of an event and of all events before it: 32 bytes of BLAKE3.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChainHash([u8; 32]);

impl ChainHash {
    /// The value before the first event.
    pub const BEGINNING: Self = Self([0; 32]);

    /// Creates a hash from its 32 stored bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes, to be stored.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Parses 64 hexadecimal digits. `None`: the text has another format.
    #[must_use]
    pub fn parse(hex: &str) -> Option<Self> {
        blake3::Hash::from_hex(hex).ok().map(|hash| Self(*hash.as_bytes()))
    }
}

impl fmt::Display for ChainHash {
    /// Writes 64 lowercase hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Event {
    /// The `reason` of a change of a key's settings: the names of the changed fields, separated by spaces. `None`:
    /// `fields` is empty. They have no field of their own, because earlier versions, which may verify the log, must
    /// compute the same hash.
    #[must_use]
    pub fn reason_of_change(fields: &[&str]) -> Option<String> {
        (!fields.is_empty()).then(|| fields.join(" "))
    }

    /// For a change of a key's settings, the names of the changed fields; for a change of a key policy, `key_policy`; empty
    /// for every other event.
    pub fn changed_fields(&self) -> impl Iterator<Item = &str> {
        let named = [
            Action::UpdateKey,
            Action::AllowManagement,
            Action::DenyManagement,
            Action::UpdateOrganization,
            Action::UpdateSet,
        ];
        let is_change = self.outcome == EventOutcome::Done && named.iter().any(|action| action.code() == self.action);
        self.reason.as_deref().filter(|_| is_change).unwrap_or_default().split_ascii_whitespace()
    }

    /// The code of the [`reason::AuditReason`] why the action was denied. `None`: it was not, and the event counts no others.
    #[must_use]
    pub fn reason_code(&self) -> Option<&str> {
        let code = self.reason.as_deref().map(reason::AuditReason::current_code)?;
        (self.outcome == EventOutcome::Denied || self.counts_others()).then_some(code)
    }

    /// The beginning of the expired or revoked secret that was used. `None`: the event is not about a secret.
    #[must_use]
    pub fn secret_start(&self) -> Option<&str> {
        let is_use = self.outcome == EventOutcome::Alarm && self.action == Action::UseExpiredSecret.code();
        self.reason.as_deref().filter(|_| is_use && !self.counts_others())
    }

    /// Whether the event counts events that are not in the log themselves. Their target is the organization.
    fn counts_others(&self) -> bool {
        self.reason.as_deref() == Some(reason::AuditReason::Others.code()) && self.target == self.organization.uuid()
    }

    /// Computes the hash of this event after the hash `previous`: BLAKE3 in key-derivation mode over the previous hash
    /// and each field, preceded by its length.
    #[must_use]
    pub fn hash(&self, previous: &ChainHash) -> ChainHash {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        hasher.update(&previous.0);
        let mut field = |bytes: Option<&[u8]>| {
            // A field is never this long; `u32::MAX` marks an absent one.
            let length = bytes.map_or(u32::MAX, |bytes| u32::try_from(bytes.len()).unwrap_or(u32::MAX - 1));
            hasher.update(&length.to_be_bytes()).update(bytes.unwrap_or_default());
        };
        let (kind, key, user) = match self.actor {
            Actor::Key(key, user) => ("key", Some(key.uuid()), user.map(crate::id::UserId::uuid)),
            Actor::User(user) => ("user", None, Some(user.uuid())),
            Actor::Operator => ("operator", None, None),
            Actor::Unknown => ("unknown", None, None),
        };
        field(Some(self.organization.uuid().as_bytes()));
        field(Some(&self.seq.to_be_bytes()));
        field(Some(&self.at.millis().to_be_bytes()));
        field(Some(self.action.as_bytes()));
        field(Some(self.outcome.code().as_bytes()));
        field(self.reason.as_deref().map(str::as_bytes));
        field(Some(self.target.as_bytes()));
        field(Some(kind.as_bytes()));
        field(key.as_ref().map(|key| &key.as_bytes()[..]));
        field(user.as_ref().map(|user| &user.as_bytes()[..]));
        field(self.session.map(SessionId::uuid).as_ref().map(|session| &session.as_bytes()[..]));
        field(self.permission.as_deref().map(str::as_bytes));
        field(self.client.as_deref().map(str::as_bytes));
        field(self.request_id.as_deref().map(str::as_bytes));
        field(Some(&self.count.to_be_bytes()));
        ChainHash(*hasher.finalize().as_bytes())
    }
}

/// The end of a hash chain at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainHead {
    /// The organization that the log belongs to.
    pub organization: OrganizationId,
    /// The sequence number of the last event. 0: the log is empty.
    pub seq: u64,
    /// The chain hash of that event.
    pub hash: ChainHash,
}

/// A record that retention removed the oldest events of a log. The service signs it, so that an administrator of the
/// database cannot delete events and claim that retention removed them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PruneRecord {
    /// The last removed event. The log continues after it.
    pub start: ChainHead,
    /// When the events were removed.
    pub at: Timestamp,
    /// Removed events that no signed record covers. `None`: there are none.
    pub unproven: Option<Unproven>,
}

/// Events that are missing from the beginning of a log and that no signed record covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unproven {
    /// The sequence number of the last of them.
    pub seq: u64,
    /// When the first signed record after them was written.
    pub since: Timestamp,
}

/// What is known about the events that are missing from the beginning of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front {
    /// No event is missing.
    Whole,
    /// A signed record says that retention removed them.
    Pruned(PruneRecord),
    /// The events up to this sequence number (inclusive) are missing, and no signed record says that retention removed
    /// them.
    Unsigned(u64),
}

impl Front {
    /// The sequence number of the last missing event that no signed record covers. `retention_ms` is the retention period of
    /// events in milliseconds: events that went missing longer ago than that would have been removed by now in any
    /// case, so they are not reported.
    #[must_use]
    pub fn unproven(&self, now: Timestamp, retention_ms: u64) -> Option<u64> {
        match self {
            Self::Whole => None,
            Self::Unsigned(seq) => Some(*seq),
            Self::Pruned(record) => record
                .unproven
                .filter(|unproven| now.millis_since(unproven.since) < retention_ms)
                .map(|unproven| unproven.seq),
        }
    }

    /// Creates the record for removing further events at `now`, up to `start`. `retention_ms` is the retention period in
    /// milliseconds.
    #[must_use]
    pub fn pruned_to(&self, start: ChainHead, now: Timestamp, retention_ms: u64) -> PruneRecord {
        let unproven = self.unproven(now, retention_ms).map(|seq| match self {
            Self::Pruned(PruneRecord { unproven: Some(before), .. }) => *before,
            _ => Unproven { seq, since: now },
        });
        PruneRecord { start, at: now, unproven }
    }
}

/// Why a log is not intact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntegrityError {
    /// The event with this sequence number is missing, or out of order.
    Missing(u64),
    /// The event with this sequence number does not match its stored hash.
    Changed(u64),
    /// The chain ends with this sequence number, but the stored end of the log differs.
    EndMismatch(u64),
    /// The chain does not contain the signed checkpoint of this sequence number: events up to it were changed, or
    /// removed from the end.
    CheckpointMismatch(u64),
    /// This number of stored events have sequence numbers outside of the beginning and the end of the log.
    Outside(u64),
    /// An event is stored more than once.
    Repeated,
    /// This number of events without a sequence number were added.
    Added(u64),
    /// The stored checkpoint was removed or replaced.
    Checkpoint,
    /// There are stored events or an organization, but no log.
    NoLog,
    /// The stored hash of the beginning or of the end of the log does not have 32 bytes.
    InvalidHash,
}

impl fmt::Display for IntegrityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(seq) => write!(f, "event {seq} is missing or out of order"),
            Self::Changed(seq) => write!(f, "event {seq} was changed"),
            Self::EndMismatch(seq) => write!(f, "the chain ends with event {seq}, but the stored checkpoint does not"),
            Self::CheckpointMismatch(seq) => write!(f, "it does not match the signed checkpoint of event {seq}"),
            Self::Outside(count) => write!(f, "{count} stored events are not between its beginning and its end"),
            Self::Repeated => f.write_str("an event is stored more than once"),
            Self::Added(count) => write!(f, "{count} events without a sequence number were added"),
            Self::Checkpoint => f.write_str("its stored checkpoint was removed or replaced"),
            Self::NoLog => f.write_str("the log is missing"),
            Self::InvalidHash => f.write_str("the stored hash of its beginning or of its end does not have 32 bytes"),
        }
    }
}

/// Recomputes a hash chain, event by event.
#[derive(Debug)]
pub struct ChainVerifier {
    seq: u64,
    hash: ChainHash,
}

impl ChainVerifier {
    /// Starts after this event: the beginning of the log, or the last event that retention removed.
    #[must_use]
    pub fn after(head: &ChainHead) -> Self {
        Self { seq: head.seq, hash: head.hash }
    }

    /// Checks the next event against the hash that is stored with it.
    pub fn step(&mut self, event: &Event, stored: &ChainHash) -> Result<(), IntegrityError> {
        let next = self.seq + 1;
        if event.seq != next {
            return Err(IntegrityError::Missing(next));
        }
        if event.hash(&self.hash) != *stored {
            return Err(IntegrityError::Changed(next));
        }
        (self.seq, self.hash) = (next, *stored);
        Ok(())
    }

    /// Checks a published checkpoint if it is for the current sequence number; ignores it otherwise.
    pub fn check_checkpoint(&self, published: &ChainHead) -> Result<(), IntegrityError> {
        if published.seq == self.seq && published.hash != self.hash {
            Err(IntegrityError::CheckpointMismatch(published.seq))
        } else {
            Ok(())
        }
    }

    /// Checks that the chain ends where the stored end of the log is, and that no published checkpoint is beyond it.
    pub fn end(
        &self,
        stored: &ChainHead,
        published: impl IntoIterator<Item = ChainHead>,
    ) -> Result<(), IntegrityError> {
        if stored.seq != self.seq || stored.hash != self.hash {
            return Err(IntegrityError::EndMismatch(self.seq));
        }
        match published.into_iter().find(|published| published.seq > self.seq) {
            Some(published) => Err(IntegrityError::CheckpointMismatch(published.seq)),
            None => Ok(()),
        }
    }
}
