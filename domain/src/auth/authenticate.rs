//! Authenticates callers by API keys. A key that is used as a credential must be valid; its rate limit and remaining
//! uses apply only to verify requests.

use std::{net::IpAddr, sync::Arc};

use crate::{
    audit::{
        EventOutcome,
        context::{Action, Actor, AuditContext, RequestContext},
        reason::EventDetail,
    },
    auth::caller::Caller,
    clock::{Clock, Timestamp},
    deny_reason::DenyReason,
    error::Error,
    keys::secret::SecretHash,
    ports::{AuditLog, Cached, MergedEvent, Usage},
    verify::{
        cached_key::CachedKey,
        lookup::{KeyLookup, Lookup},
        record_use,
    },
};

/// Authenticates callers by API keys.
pub struct KeyAuthenticator {
    lookup: Arc<KeyLookup>,
    usage: Arc<dyn Usage>,
    log: Arc<dyn AuditLog>,
    clock: Arc<dyn Clock>,
}

impl KeyAuthenticator {
    /// Creates the authenticator from these ports.
    #[must_use]
    pub fn new(lookup: Arc<KeyLookup>, usage: Arc<dyn Usage>, log: Arc<dyn AuditLog>, clock: Arc<dyn Clock>) -> Self {
        Self { lookup, usage, log, clock }
    }

    /// Authenticates the caller with this secret. `from` is the client's IP address. `None`: not known.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] with the first reason that applies; [`Error::Outage`].
    pub async fn authenticate(&self, secret: &str, from: Option<IpAddr>) -> Result<Caller, Error> {
        let key = match self.lookup.parse(secret) {
            None => None,
            Some(Lookup::Own(hash)) => self.lookup.find(&hash).await?,
            Some(Lookup::Imported(text)) => self.lookup.find_imported(&text, None, false).await?,
        };
        self.check(key, from)
    }

    /// Authenticates the caller whose secret has this hash.
    ///
    /// # Errors
    /// The same as for [`KeyAuthenticator::authenticate`].
    pub(crate) async fn authenticate_by(&self, hash: &SecretHash, from: Option<IpAddr>) -> Result<Caller, Error> {
        self.check(self.lookup.find(hash).await?, from)
    }

    fn check(&self, key: Option<Arc<CachedKey>>, from: Option<IpAddr>) -> Result<Caller, Error> {
        let key = key.ok_or(Error::Unauthenticated(DenyReason::InvalidApiKey))?;
        let now = self.clock.now();
        if let Err(deny_reason) = key.check(now, from) {
            match deny_reason {
                // Its secret has expired or is revoked.
                DenyReason::InvalidApiKey => self.lookup.record_ended_secret(&key, None, from, now),
                deny_reason => self.record_denied(&key, deny_reason, from, now),
            }
            return Err(Error::Unauthenticated(deny_reason));
        }
        record_use(&*self.usage, &key, 0, now);
        Ok(Caller::from_key(key))
    }

    /// Authenticates the caller with this secret if the key is cached and valid. `None`: use
    /// [`KeyAuthenticator::authenticate`].
    #[must_use]
    pub fn authenticate_cached(&self, secret: &str, from: Option<IpAddr>) -> Option<Caller> {
        let key = self.cached(secret)?;
        let now = self.clock.now();
        key.check(now, from).ok()?;
        record_use(&*self.usage, &key, 0, now);
        Some(Caller::from_key(key))
    }

    /// Whether the key with this secret is cached, so that [`KeyAuthenticator::authenticate`] needs no lookup. It may be
    /// invalid.
    #[must_use]
    pub fn is_cached(&self, secret: &str) -> bool {
        self.cached(secret).is_some()
    }

    fn cached(&self, secret: &str) -> Option<Arc<CachedKey>> {
        let hash = match self.lookup.parse(secret)? {
            Lookup::Own(hash) => hash,
            Lookup::Imported(text) => text.old.in_organization(self.lookup.cached_secret_owner(&text)?),
        };
        match self.lookup.get_cached(&hash) {
            Cached::Key(key) => Some(key),
            Cached::NoKey | Cached::Nothing => None,
        }
    }

    /// Records that a key was used as a credential and denied. An unknown secret belongs to no organization, so it is
    /// in no log.
    fn record_denied(&self, key: &CachedKey, deny_reason: DenyReason, from: Option<IpAddr>, at: Timestamp) {
        let (actor, origin) = (Actor::Unknown, RequestContext { client: from, ..RequestContext::default() });
        let context = AuditContext {
            organization: key.organization(),
            actor,
            action: Action::Authenticate,
            permission: None,
            origin,
            at,
        };
        let detail = Some(EventDetail::Reason(deny_reason.kind().into()));
        self.log.record_merged(MergedEvent { context, outcome: EventOutcome::Denied, detail, target: key.id().uuid() });
    }
}
