//! Is this key good for that? The question that services ask on every request of their own.
//!
//! The usual answer needs nothing but memory, so the decision is made step by step without waiting, and only a step that
//! needs the database waits.

use std::{net::IpAddr, sync::Arc};

use super::Keys;
use crate::{
    authenticate::Lookup,
    caller::Caller,
    clock::Timestamp,
    error::Outage,
    id::OrganizationId,
    permission::PermissionSet,
    ports::Recalled,
    refusal::Refusal,
    secret::{ImportedText, SecretHash},
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

    /// Which import is meant: that of the organization that is asked for, or of the caller's own; for a platform caller who
    /// names none, that of the only one. `None`: none that the caller sees.
    pub(super) fn imported_in(&self, caller: &Caller) -> Option<ImportedIn> {
        match self.organization {
            Some(organization) => caller.sees(organization).then_some(ImportedIn(Some(organization))),
            None if caller.is_platform() => Some(ImportedIn(None)),
            None => caller.organization().ok().map(|own| ImportedIn(Some(own))),
        }
    }
}

/// The organization whose import is meant; where it holds none, the only one that has imported the secret.
#[derive(Clone, Copy, Debug)]
pub(super) struct ImportedIn(pub(super) Option<OrganizationId>);

/// Where a decision stands.
#[derive(Debug)]
pub enum Step {
    /// Decided.
    Decided(Verdict),
    /// The key has to be read.
    Read(SecretHash),
    /// The key has to be found among those that were imported: of this organization, or of the only one that has it.
    FindImported(ImportedText, Option<OrganizationId>),
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
        match self.lookup(question.text) {
            None => Step::Decided(Verdict::UNKNOWN),
            Some(Lookup::Own(hash)) => match self.ports.snapshots.recall(&hash) {
                Recalled::Key(key) => self.decide(caller, question, Some(key)),
                Recalled::NoKey => Step::Decided(Verdict::UNKNOWN),
                Recalled::Nothing => Step::Read(hash),
            },
            Some(Lookup::Imported(text)) => self.begin_imported(caller, question, text),
        }
    }

    fn begin_imported(&self, caller: &Caller, question: Question<'_>, text: ImportedText) -> Step {
        let Some(ImportedIn(organization)) = question.imported_in(caller) else {
            return Step::Decided(Verdict::UNKNOWN);
        };
        let holder = organization.or_else(|| self.ports.imports.recall_holder(&text.old));
        match holder.map(|holder| self.ports.snapshots.recall(&text.old.in_organization(holder))) {
            Some(Recalled::Key(key)) => self.decide(caller, question, Some(key)),
            _ => Step::FindImported(text, organization),
        }
    }

    /// Decides the rest.
    ///
    /// # Errors
    /// The database is away, or the key changes all the time. That never means that the key is bad.
    pub async fn finish(&self, caller: &Caller, question: Question<'_>, mut step: Step) -> Result<Verdict, Outage> {
        let mut attempts = 0;
        loop {
            step = match step {
                Step::Decided(verdict) => return Ok(verdict),
                Step::Read(hash) => self.decide(caller, question, self.ports.snapshots.read(&hash).await?),
                Step::FindImported(text, organization) => {
                    self.decide(caller, question, self.find_imported(&text, organization, true).await?)
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
