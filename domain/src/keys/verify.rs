//! Is this key good for that? The question that services ask on every request of their own.
//!
//! The usual answer needs nothing but memory, so the decision is made step by step without waiting, and only a step that
//! needs the database waits.

use std::{net::IpAddr, sync::Arc};

use super::Keys;
use crate::{
    caller::Caller,
    clock::Timestamp,
    error::Outage,
    id::OrganizationId,
    permission::PermissionSet,
    ports::Recalled,
    refusal::Refusal,
    secret::SecretHash,
    snapshot::Snapshot,
    usage::Outcome,
    verdict::{Spent, Valid, Verdict},
};

/// How often a decision is made anew because the key changed while its use was being counted, before that counts as busy.
/// Settings that change every few milliseconds do so many times in a row; the time limit of a request is far longer.
const ATTEMPTS: usize = 64;

/// What is asked about a key.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The whole text of the key.
    pub text: &'a str,
    /// All of this it must hold.
    pub permissions: &'a PermissionSet,
    /// The organization that it must belong to; `None`: any that the caller sees.
    pub organization: Option<OrganizationId>,
    /// From where it is used; `None`: not known, which is right only for keys that may be used from anywhere.
    pub from: Option<IpAddr>,
    /// What the use takes from what remains; 1, most of the time.
    pub cost: u64,
}

impl Question<'_> {
    /// Whether a key is one that the caller sees, and of the organization that is asked for.
    pub(super) fn is_about(&self, caller: &Caller, key: &Snapshot) -> bool {
        let organization = key.organization();
        caller.sees(organization) && self.organization.is_none_or(|only| organization == only)
    }
}

/// Where a decision stands.
#[derive(Debug)]
pub enum Step {
    /// Decided.
    Decided(Verdict),
    /// The key has to be read.
    Read(SecretHash),
    /// There is none, but it may be one that was imported and not shown yet.
    Adopt(SecretHash),
    /// The key is good, but for its limits.
    Spend(Arc<Snapshot>),
}

impl Keys {
    /// Whether a key is good for what is asked, as far as memory goes. The caller holds `api_keys:verify`.
    ///
    /// A caller sees the keys of their own organization, a platform caller those of all. A use is counted if the key is
    /// good; what is refused costs nothing.
    #[must_use]
    pub fn begin(&self, caller: &Caller, question: Question<'_>) -> Step {
        let Some(hash) = self.hash_of(question.text) else { return Step::Decided(Verdict::UNKNOWN) };
        match self.ports.snapshots.recall(&hash) {
            Recalled::Key(key) => self.decide(caller, question, Some(key)),
            Recalled::NoKey if is_foreign(question.text) => Step::Adopt(hash),
            Recalled::NoKey => Step::Decided(Verdict::UNKNOWN),
            Recalled::Nothing => Step::Read(hash),
        }
    }

    /// Decides the rest.
    ///
    /// # Errors
    /// The database is away, or the key changes all the time. That never means that the key is bad.
    pub async fn finish(&self, caller: &Caller, question: Question<'_>, mut step: Step) -> Result<Verdict, Outage> {
        let (mut attempts, mut was_adopted) = (0, false);
        loop {
            step = match step {
                Step::Decided(verdict) => return Ok(verdict),
                Step::Read(hash) => match self.ports.snapshots.read(&hash).await? {
                    None if is_foreign(question.text) && !was_adopted => Step::Adopt(hash),
                    found => self.decide(caller, question, found),
                },
                Step::Adopt(hash) => {
                    was_adopted = true;
                    if self.adopt(question.text, &hash).await? {
                        Step::Read(hash)
                    } else {
                        Step::Decided(Verdict::UNKNOWN)
                    }
                }
                Step::Spend(_) if attempts == ATTEMPTS => {
                    return Err(Outage::Unavailable(
                        "the key changed again and again while its use was counted".into(),
                    ));
                }
                Step::Spend(key) => {
                    attempts += 1;
                    self.spend(key, question.cost).await?
                }
            };
        }
    }

    async fn spend(&self, key: Arc<Snapshot>, cost: u64) -> Result<Step, Outage> {
        Ok(match self.ports.ledger.spend(key.id(), key.version(), cost).await? {
            Spent::Admitted { quota, request_count, at } => {
                self.ports.usage.count(&key, Outcome::VALID, at);
                if key.is_ending() {
                    // Counted it is; that it was by this secret is noted.
                    self.note(&key, 0, at);
                }
                let last_request_at = key.uses().last().max(Some(at));
                // By the clock that counted this use.
                let window_ends_in = quota.window_ends_in(at);
                Step::Decided(Verdict::Valid(Valid { key, quota, window_ends_in, request_count, last_request_at }))
            }
            Spent::Refused(refusal) => self.refuse(key, refusal, self.now()),
            Spent::Changed => {
                self.ports.snapshots.forget(key.hash());
                Step::Read(*key.hash())
            }
        })
    }

    fn refuse(&self, key: Arc<Snapshot>, refusal: Refusal, at: Timestamp) -> Step {
        if let Some(outcome) = Outcome::of(refusal) {
            self.ports.usage.count(&key, outcome, at);
        }
        Step::Decided(Verdict::Refused { refusal, key: Some(key) })
    }

    /// Everything but the limits.
    fn decide(&self, caller: &Caller, question: Question<'_>, found: Option<Arc<Snapshot>>) -> Step {
        let in_reach = found.filter(|key| question.is_about(caller, key));
        let Some(key) = in_reach else { return Step::Decided(Verdict::UNKNOWN) };
        let now = self.now();
        let holds_all = || key.allows_all(question.permissions);
        let good = key
            .check(now, question.from)
            .and_then(|()| if holds_all() { Ok(()) } else { Err(Refusal::InsufficientPermissions) });
        match good {
            // Whose secret has ended is not told, but to those who keep the key.
            Err(Refusal::InvalidApiKey) => {
                self.alarm(&key, Some(caller), question.from, now);
                Step::Decided(Verdict::UNKNOWN)
            }
            Err(refusal) => self.refuse(key, refusal, now),
            Ok(()) if key.is_metered() => Step::Spend(key),
            Ok(()) => {
                self.note(&key, 1, now);
                let (request_count, last_request_at) = (key.uses().count(), key.uses().last());
                let quota = key.quota();
                let window_ends_in = None;
                Step::Decided(Verdict::Valid(Valid { key, quota, window_ends_in, request_count, last_request_at }))
            }
        }
    }
}

/// Whether a text, which may be that of a key, is not one of ours.
fn is_foreign(text: &str) -> bool {
    SecretHash::of(text).is_none()
}
