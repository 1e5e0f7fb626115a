//! The log of an organization as a chain: each event's hash covers the event and the hash before it, so that nobody changes,
//! removes or reorders what is in the middle without its showing. That the end was cut off shows by heads that were signed
//! and told elsewhere.

use std::fmt;

use uuid::Uuid;

use crate::{
    act::Actor,
    clock::Timestamp,
    id::{OrganizationId, SessionId},
};

/// Separates these hashes from every other use of BLAKE3.
const CONTEXT: &str = "claviger 2026-11-21 audit event v1";

/// What came of what somebody wanted to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was not allowed.
    Refused,
    /// It must not happen, and somebody should look.
    Alarm,
}

impl Outcome {
    /// The word for programs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Alarm => "alarm",
        }
    }

    /// The outcome with this word.
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        [Self::Done, Self::Refused, Self::Alarm].into_iter().find(|outcome| outcome.code() == code)
    }
}

/// An event of a log, as it is stored and hashed. It names ids, never names or addresses of people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// In whose log it is.
    pub organization: OrganizationId,
    /// Its place there, from 1 on.
    pub seq: u64,
    /// When it happened; of several that are told as one, the first.
    pub at: Timestamp,
    /// The word for what was done, see [`crate::act::Action::code`].
    pub action: String,
    /// What came of it.
    pub outcome: Outcome,
    /// More about that, where it was not done.
    pub reason: Option<String>,
    /// To what.
    pub target: Uuid,
    /// By whom.
    pub actor: Actor,
    /// In which session.
    pub session: Option<SessionId>,
    /// The permission that allowed it, or that would have.
    pub permission: Option<String>,
    /// The client's address.
    pub client: Option<String>,
    /// The request's name in the log of the service.
    pub request_id: Option<String>,
    /// How often, where several are told as one.
    pub count: u64,
}

/// What an event and all before it come to.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChainHash([u8; 32]);

impl ChainHash {
    /// Before the first event.
    pub const BEGINNING: Self = Self([0; 32]);

    /// The hash with these bytes, from storage.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes, for storage.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The hash that is written like this.
    #[must_use]
    pub fn parse(hex: &str) -> Option<Self> {
        blake3::Hash::from_hex(hex).ok().map(|hash| Self(*hash.as_bytes()))
    }
}

impl fmt::Display for ChainHash {
    /// 64 hexadecimal digits.
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
    /// What it comes to after `previous`: BLAKE3 in key-derivation mode over the hash before and each field with its length.
    #[must_use]
    pub fn hash(&self, previous: &ChainHash) -> ChainHash {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        hasher.update(&previous.0);
        let mut field = |bytes: Option<&[u8]>| {
            // No field is as long as that.
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

/// The end of a chain at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Whose chain.
    pub organization: OrganizationId,
    /// Events until there.
    pub seq: u64,
    /// What they come to.
    pub hash: ChainHash,
}

/// A record that retention pruned the front of a log. The service signs it, so that the front of a log cannot be erased and
/// called pruned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PruneRecord {
    /// The last event that was pruned: the log goes on after it.
    pub start: Head,
    /// When it was pruned.
    pub at: Timestamp,
    /// Events that are gone without a signed record.
    pub unproven: Option<Unproven>,
}

/// Events at the front of a log that are gone without a signed record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unproven {
    /// Up to this one.
    pub seq: u64,
    /// When a signed record first followed.
    pub since: Timestamp,
}

/// What is known of the events that are gone from the front of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front {
    /// None is gone.
    Whole,
    /// The service signed that retention pruned them.
    Pruned(PruneRecord),
    /// Those up to this one are gone, and nothing says that retention pruned them.
    Unsigned(u64),
}

impl Front {
    /// The last event that is gone without proof that retention pruned it, where events are kept for so many milliseconds.
    /// What went unsigned longer ago would be too old by now in any case.
    #[must_use]
    pub fn unproven(&self, now: Timestamp, kept: u64) -> Option<u64> {
        match self {
            Self::Whole => None,
            Self::Unsigned(seq) => Some(*seq),
            Self::Pruned(record) => {
                record.unproven.filter(|unproven| now.millis_since(unproven.since) < kept).map(|unproven| unproven.seq)
            }
        }
    }

    /// The record that this front was pruned further at `now`, up to `start`.
    #[must_use]
    pub fn pruned_to(&self, start: Head, now: Timestamp, kept: u64) -> PruneRecord {
        let unproven = self.unproven(now, kept).map(|seq| match self {
            Self::Pruned(PruneRecord { unproven: Some(before), .. }) => *before,
            _ => Unproven { seq, since: now },
        });
        PruneRecord { start, at: now, unproven }
    }
}

/// Where a chain does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// The event with this place is not there, or not at its place.
    Missing(u64),
    /// The event at this place is not what its hash says.
    Changed(u64),
    /// The chain goes on until here, but its head says something else.
    Head(u64),
    /// A head that was told before is not in the chain: what came until this place was changed, or cut off.
    Told(u64),
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(seq) => write!(f, "event {seq} is missing, or not at its place"),
            Self::Changed(seq) => write!(f, "event {seq} was changed"),
            Self::Head(seq) => write!(f, "it ends with event {seq}, which its head does not"),
            Self::Told(seq) => write!(f, "it is not the one whose event {seq} was signed"),
        }
    }
}

/// Goes along a chain and checks every step.
#[derive(Debug)]
pub struct Proof {
    seq: u64,
    hash: ChainHash,
}

impl Proof {
    /// Begins after this head: at the beginning, or after what was removed because it is too old.
    #[must_use]
    pub fn after(head: &Head) -> Self {
        Self { seq: head.seq, hash: head.hash }
    }

    /// The next event, with the hash that is stored with it.
    pub fn step(&mut self, event: &Event, stored: &ChainHash) -> Result<(), Break> {
        let next = self.seq + 1;
        if event.seq != next {
            return Err(Break::Missing(next));
        }
        if event.hash(&self.hash) != *stored {
            return Err(Break::Changed(next));
        }
        (self.seq, self.hash) = (next, *stored);
        Ok(())
    }

    /// Whether one that was told before is where the proof is now. It says nothing about one that is elsewhere.
    pub fn meets(&self, told: &Head) -> Result<(), Break> {
        if told.seq == self.seq && told.hash != self.hash { Err(Break::Told(told.seq)) } else { Ok(()) }
    }

    /// The end: the stored head, and all that were told before, lie on the way.
    pub fn end(&self, stored: &Head, told: impl IntoIterator<Item = Head>) -> Result<(), Break> {
        if stored.seq != self.seq || stored.hash != self.hash {
            return Err(Break::Head(self.seq));
        }
        match told.into_iter().find(|told| told.seq > self.seq) {
            Some(told) => Err(Break::Told(told.seq)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
