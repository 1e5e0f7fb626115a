//! Finds the key with a secret: in the key cache, in the database, or among imported secrets.

use std::{net::IpAddr, sync::Arc};

use crate::{
    audit::{
        EventOutcome,
        context::{Action, Actor, AuditContext, RequestContext},
        reason::EventDetail,
    },
    auth::caller::Caller,
    clock::{Clock, Timestamp},
    error::Outage,
    id::{KeyId, OrganizationId},
    keys::secret::{ImportedSecret, SecretHash},
    ports::{AuditLog, Cached, Imports, KeyCache, MergedEvent, SecretOwner},
    verify::cached_key::CachedKey,
};

/// How the key with a secret is looked up.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lookup {
    /// By the hash of a secret of this service: at most one key has it.
    Own(SecretHash),
    /// By the organization that has imported the secret: there may be several.
    Imported(ImportedSecret),
}

/// Finds keys by their secrets, and records misuse of secrets that an administrator should investigate.
pub struct KeyLookup {
    key_cache: Arc<dyn KeyCache>,
    imports: Arc<dyn Imports>,
    log: Arc<dyn AuditLog>,
    clock: Arc<dyn Clock>,
}

impl KeyLookup {
    /// Creates the lookup from these ports.
    #[must_use]
    pub fn new(
        key_cache: Arc<dyn KeyCache>,
        imports: Arc<dyn Imports>,
        log: Arc<dyn AuditLog>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { key_cache, imports, log, clock }
    }

    /// How a text is looked up. `None`: it has neither the format of this service nor an imported one, so no key has
    /// it.
    pub(crate) fn parse(&self, text: &str) -> Option<Lookup> {
        let own = SecretHash::of(text).map(Lookup::Own);
        own.or_else(|| self.imports.parse_secret(text).map(Lookup::Imported))
    }

    /// Looks up the key with this secret in the cache.
    pub(crate) fn get_cached(&self, hash: &SecretHash) -> Cached {
        self.key_cache.get_cached(hash)
    }

    /// The only organization in which an imported secret was used, if that is cached.
    pub(crate) fn cached_secret_owner(&self, text: &ImportedSecret) -> Option<OrganizationId> {
        self.imports.get_cached_secret_owner(&text.old)
    }

    /// Loads the key with this secret from the database. `None`: there is none.
    pub(crate) async fn load(&self, hash: &SecretHash) -> Result<Option<Arc<CachedKey>>, Outage> {
        self.key_cache.load(hash).await
    }

    /// Removes a key from the cache, because it was found to be stale.
    pub(crate) fn invalidate(&self, hash: &SecretHash) {
        self.key_cache.invalidate(hash);
    }

    /// The key with this secret, from the cache or the database. `None`: there is none.
    pub(crate) async fn find(&self, hash: &SecretHash) -> Result<Option<Arc<CachedKey>>, Outage> {
        match self.get_cached(hash) {
            Cached::Key(key) => Ok(Some(key)),
            Cached::NoKey => Ok(None),
            Cached::Nothing => self.load(hash).await,
        }
    }

    /// The key with an imported secret. With `organization`: the key that it has imported, whatever others have
    /// imported. Without: the key of the only organization that has imported the secret; if several have, no key is
    /// found, and an alarm is recorded for each of them. A secret that was never used before is found only with
    /// `may_be_first`, which only verify requests set.
    ///
    /// # Errors
    /// [`Outage`]: the database is not available.
    pub(crate) async fn find_imported(
        &self,
        text: &ImportedSecret,
        organization: Option<OrganizationId>,
        may_be_first: bool,
    ) -> Result<Option<Arc<CachedKey>>, Outage> {
        if let Some(organization) = organization {
            return self.find_imported_in(organization, text, may_be_first).await;
        }
        // The cached organization may be stale: then it is read again.
        for _ in 0..2 {
            let organization = match self.imports.find_secret_owner(&text.old).await? {
                SecretOwner::NotImported => return Ok(None),
                SecretOwner::One { was_used: false, .. } if !may_be_first => return Ok(None),
                SecretOwner::One { organization, .. } => organization,
                SecretOwner::Several(keys) => {
                    self.record_contested_secret(keys);
                    return Ok(None);
                }
            };
            if let Some(key) = self.find_imported_in(organization, text, may_be_first).await? {
                return Ok(Some(key));
            }
            self.imports.invalidate_secret_owner(&text.old);
        }
        Ok(None)
    }

    async fn find_imported_in(
        &self,
        organization: OrganizationId,
        text: &ImportedSecret,
        may_be_first: bool,
    ) -> Result<Option<Arc<CachedKey>>, Outage> {
        let hash = text.old.in_organization(organization);
        if let Some(key) = self.find(&hash).await? {
            return Ok(Some(key));
        }
        if self.imports.claim_secret(organization, text, may_be_first, self.clock.now()).await? {
            self.load(&hash).await
        } else {
            Ok(None)
        }
    }

    /// Records that a secret was used after it had expired or was revoked: it may have leaked. `asked_by` is the caller
    /// of a verify request. `None`: the secret was sent as a credential, or a gateway has asked.
    pub(crate) fn record_ended_secret(
        &self,
        key: &CachedKey,
        asked_by: Option<&Caller>,
        from: Option<IpAddr>,
        at: Timestamp,
    ) {
        let organization = key.organization();
        let action = Action::UseExpiredSecret;
        let context = if let Some(caller) = asked_by {
            caller.audit_context(organization, action, None, at)
        } else {
            let (actor, origin) = (Actor::Unknown, RequestContext { client: from, ..RequestContext::default() });
            AuditContext { organization, actor, action, permission: None, origin, at }
        };
        let (detail, target) = (Some(EventDetail::SecretStart(key.start().to_owned())), key.id().uuid());
        self.log.record_merged(MergedEvent { context, outcome: EventOutcome::Alarm, detail, target });
    }

    /// Records for each of these organizations that another one has imported the same secret.
    fn record_contested_secret(&self, keys: Vec<(OrganizationId, KeyId)>) {
        for (organization, key) in keys {
            let (actor, action, origin) = (Actor::Unknown, Action::UseContestedSecret, RequestContext::default());
            let at = self.clock.now();
            let context = AuditContext { organization, actor, action, permission: None, origin, at };
            let (outcome, target) = (EventOutcome::Alarm, key.uuid());
            self.log.record_merged(MergedEvent { context, outcome, detail: None, target });
        }
    }
}
