//! Shown text → caller. A key as a credential obeys its own state; limits belong to verify alone.

use std::{net::IpAddr, sync::Arc};

use crate::{
    act::{Act, Action, Actor, Origin},
    audit::Outcome,
    caller::Caller,
    clock::Timestamp,
    error::{Error, Outage},
    keys::Keys,
    ports::{Notable, Recalled},
    refusal::Refusal,
    secret::{ImportedText, SecretHash},
    snapshot::Snapshot,
};

/// How the key with some text is found.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lookup {
    /// By our own hash: there is one such key at most.
    Own(SecretHash),
    /// By the organization that has imported it: several may have.
    Imported(ImportedText),
}

impl Keys {
    /// The caller behind a text that is shown from an address (`None`: it is not known).
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] with the first reason that holds; [`Error::Outage`].
    pub async fn authenticate(&self, text: &str, from: Option<IpAddr>) -> Result<Caller, Error> {
        let key = match self.lookup(text) {
            None => None,
            Some(Lookup::Own(hash)) => self.find(&hash).await?,
            Some(Lookup::Imported(text)) => self.find_imported(&text, None, false).await?,
        };
        self.admit(key, from)
    }

    /// The caller behind the secret with this hash.
    pub(crate) async fn authenticate_by(&self, hash: &SecretHash, from: Option<IpAddr>) -> Result<Caller, Error> {
        self.admit(self.find(hash).await?, from)
    }

    fn admit(&self, key: Option<Arc<Snapshot>>, from: Option<IpAddr>) -> Result<Caller, Error> {
        let key = key.ok_or(Error::Unauthenticated(Refusal::InvalidApiKey))?;
        let now = self.now();
        if key.has_ended(now) {
            self.alarm(&key, None, from, now);
        }
        key.check(now, from).map_err(Error::Unauthenticated)?;
        self.note(&key, 0, now);
        Ok(Caller::holding(key))
    }

    /// The caller behind a shown text, where that takes no waiting: the key is remembered and good. `None` says nothing.
    #[must_use]
    pub fn recognize(&self, text: &str, from: Option<IpAddr>) -> Option<Caller> {
        let hash = match self.lookup(text)? {
            Lookup::Own(hash) => hash,
            Lookup::Imported(text) => text.old.in_organization(self.ports.imports.recall_holder(&text.old)?),
        };
        let Recalled::Key(key) = self.ports.snapshots.recall(&hash) else { return None };
        let now = self.now();
        key.check(now, from).ok()?;
        self.note(&key, 0, now);
        Some(Caller::holding(key))
    }

    /// How a text is looked up. `None`: it is neither one of ours nor like one that was imported, so there is nothing to look up.
    pub(crate) fn lookup(&self, text: &str) -> Option<Lookup> {
        let own = SecretHash::of(text).map(Lookup::Own);
        own.or_else(|| self.ports.imports.read_text(text).map(Lookup::Imported))
    }

    /// The key with this secret, read only where it is not known by heart.
    pub(crate) async fn find(&self, hash: &SecretHash) -> Result<Option<Arc<Snapshot>>, Outage> {
        match self.ports.snapshots.recall(hash) {
            Recalled::Key(key) => Ok(Some(key)),
            Recalled::NoKey => Ok(None),
            Recalled::Nothing => self.ports.snapshots.read(hash).await,
        }
    }

    /// Notes that a secret was shown after its end: somebody still has it, or has found it.
    pub(crate) fn alarm(&self, key: &Snapshot, asked_by: Option<&Caller>, from: Option<IpAddr>, at: Timestamp) {
        let organization = key.organization();
        let action = Action::UseEndedSecret;
        let act = if let Some(caller) = asked_by {
            caller.act(organization, action, None, at)
        } else {
            let (actor, origin) = (Actor::Unknown, Origin { client: from, ..Origin::default() });
            Act { organization, actor, action, permission: None, origin, at }
        };
        let (reason, target) = (key.start().to_owned(), key.id().uuid());
        self.ports.log.gather(Notable { act, outcome: Outcome::Alarm, reason, target });
    }

    /// Notes so many verifies, or with 0 an authentication, to be stored in a moment.
    pub(crate) fn note(&self, key: &Arc<Snapshot>, verifies: u64, at: Timestamp) {
        if let Some(stored) = key.uses().add(verifies, at) {
            self.ports.usage.gather(key.clone(), stored);
        }
    }
}
