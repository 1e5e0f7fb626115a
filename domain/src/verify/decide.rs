//! Verifies keys: whether a key is valid for a request that a service has received.
//!
//! Most keys are cached and have no limits, so the decision is made in steps, and only steps that need the database are
//! asynchronous.

use std::{net::IpAddr, sync::Arc};

use crate::{
    auth::caller::Caller,
    clock::{Clock, Timestamp},
    deny_reason::DenyReason,
    error::Outage,
    id::OrganizationId,
    keys::{
        key_scope::KeyScope,
        secret::{ImportedSecret, SecretHash},
    },
    permissions::{Permission, Permissions},
    ports::{ApiKeys, Cached, Ledger, Usage},
    usage::Outcome,
    verify::{
        cached_key::CachedKey,
        lookup::{KeyLookup, Lookup},
        record_use,
        result::{ConsumeOutcome, Valid, Verdict},
    },
};

/// The maximum number of attempts of a verify request whose key is changed while its use is being counted. After that
/// it fails with an outage; the time limit of a request is reached much earlier than that many changes.
const MAX_ATTEMPTS: usize = 64;

/// After this number of attempts, changes of the key through this process wait until its use is counted.
const MAX_ATTEMPTS_WITHOUT_LOCK: usize = 8;

/// Who asks to verify a key, and so which keys are visible.
#[derive(Clone, Copy, Debug)]
pub enum Requester<'a> {
    /// A caller who has been authorized for `api_keys:verify`: the keys of their own organization, and for platform
    /// callers those of all.
    Caller(&'a Caller),
    /// A gateway, as its operator has configured it: the keys of the requested organization, and without one those of
    /// all.
    Gateway,
}

impl Requester<'_> {
    /// Whether the keys of `organization` are visible.
    fn can_see(self, organization: OrganizationId) -> bool {
        match self {
            Self::Caller(caller) => caller.can_see(organization),
            Self::Gateway => true,
        }
    }

    /// The authenticated caller. `None`: a gateway.
    fn caller(&self) -> Option<&Caller> {
        match self {
            Self::Caller(caller) => Some(caller),
            Self::Gateway => None,
        }
    }
}

/// A request to verify a key.
#[derive(Clone, Copy, Debug)]
pub struct VerifyRequest<'a> {
    /// The secret.
    pub secret: &'a str,
    /// The permissions that the key must have, all of them.
    pub permissions: &'a Permissions,
    /// The permissions of which the key must have at least one. Empty: this is not required.
    pub any_permission: &'a [Permission],
    /// The organization that the key must belong to. `None`: any that the caller has access to.
    pub organization: Option<OrganizationId>,
    /// The IP address that uses the key. `None`: not known; then a key with an IP allowlist is invalid.
    pub from: Option<IpAddr>,
    /// The number of remaining uses that this use consumes; usually 1.
    pub cost: u64,
}

impl VerifyRequest<'_> {
    /// Whether the key is visible: the requester has access to its organization, and it is the requested one.
    pub(crate) fn is_visible_to(&self, requester: Requester<'_>, key: &CachedKey) -> bool {
        let organization = key.organization();
        requester.can_see(organization) && self.organization.is_none_or(|only| organization == only)
    }

    /// Whether the key has the requested permissions.
    pub(crate) fn has_permissions(&self, key: &CachedKey) -> bool {
        let any = self.any_permission;
        key.allows_all(self.permissions) && (any.is_empty() || any.iter().any(|permission| key.allows(permission)))
    }

    /// The organization in which an imported key is looked up: the requested one, or the caller's own. For a platform
    /// caller or a gateway without a requested organization: the only one that has imported the secret. `None`: the
    /// requester has no access.
    pub(crate) fn imported_in(&self, requester: Requester<'_>) -> Option<ImportedIn> {
        match (self.organization, requester) {
            (Some(organization), _) => requester.can_see(organization).then_some(ImportedIn(Some(organization))),
            (None, Requester::Caller(caller)) if !caller.is_platform() => {
                caller.organization().ok().map(|own| ImportedIn(Some(own)))
            }
            (None, Requester::Caller(_) | Requester::Gateway) => Some(ImportedIn(None)),
        }
    }
}

/// The organization in which an imported key is looked up. `None` inside: the only one that has imported the secret.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ImportedIn(pub(crate) Option<OrganizationId>);

/// The progress of a verify request.
#[derive(Debug)]
pub enum Progress {
    /// The request is decided.
    Decided(Verdict),
    /// The key must be loaded from the database.
    Read(SecretHash),
    /// The key must be found among imported keys: those of this organization (`None`: of the only one that has imported
    /// the secret).
    FindImported(ImportedSecret, Option<OrganizationId>),
    /// The key is valid, but its limits are not checked yet.
    Spend(Arc<CachedKey>),
}

/// Verifies keys, and counts their uses.
pub struct KeyVerifier {
    pub(super) lookup: Arc<KeyLookup>,
    pub(super) api_keys: Arc<dyn ApiKeys>,
    pub(super) clock: Arc<dyn Clock>,
    ledger: Arc<dyn Ledger>,
    usage: Arc<dyn Usage>,
}

impl KeyVerifier {
    /// Creates the verifier from these ports.
    #[must_use]
    pub fn new(
        lookup: Arc<KeyLookup>,
        api_keys: Arc<dyn ApiKeys>,
        ledger: Arc<dyn Ledger>,
        usage: Arc<dyn Usage>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { lookup, api_keys, clock, ledger, usage }
    }

    /// Verifies a key as far as the cache allows. Only a valid result counts as a use.
    #[must_use]
    pub fn decide_cached(&self, requester: Requester<'_>, request: VerifyRequest<'_>) -> Progress {
        match self.lookup.parse(request.secret) {
            None => Progress::Decided(Verdict::UNKNOWN),
            Some(Lookup::Own(hash)) => match self.lookup.get_cached(&hash) {
                Cached::Key(key) => self.decide_for(requester, request, Some(key)),
                Cached::NoKey => Progress::Decided(Verdict::UNKNOWN),
                Cached::Nothing => Progress::Read(hash),
            },
            Some(Lookup::Imported(secret)) => self.decide_cached_imported(requester, request, secret),
        }
    }

    fn decide_cached_imported(
        &self,
        requester: Requester<'_>,
        request: VerifyRequest<'_>,
        secret: ImportedSecret,
    ) -> Progress {
        let Some(ImportedIn(organization)) = request.imported_in(requester) else {
            return Progress::Decided(Verdict::UNKNOWN);
        };
        let holder = organization.or_else(|| self.lookup.cached_secret_owner(&secret));
        match holder.map(|holder| self.lookup.get_cached(&secret.old.in_organization(holder))) {
            Some(Cached::Key(key)) => self.decide_for(requester, request, Some(key)),
            _ => Progress::FindImported(secret, organization),
        }
    }

    /// Continues a verify request until it is decided.
    ///
    /// # Errors
    /// [`Outage`]: the database is not available, or the key was changed too often meanwhile. In neither case is the
    /// key known to be invalid.
    pub async fn decide(
        &self,
        requester: Requester<'_>,
        request: VerifyRequest<'_>,
        mut step: Progress,
    ) -> Result<Verdict, Outage> {
        let (mut attempts, mut lock) = (0, None);
        loop {
            step = match step {
                Progress::Decided(verdict) => return Ok(verdict),
                Progress::Read(hash) => self.decide_for(requester, request, self.lookup.load(&hash).await?),
                Progress::FindImported(secret, organization) => {
                    self.decide_for(requester, request, self.lookup.find_imported(&secret, organization, true).await?)
                }
                Progress::Spend(_) if attempts == MAX_ATTEMPTS => {
                    return Err(Outage::Unavailable(
                        "the key was changed concurrently too often while its use was counted".into(),
                    ));
                }
                Progress::Spend(key) => {
                    attempts += 1;
                    if attempts > MAX_ATTEMPTS_WITHOUT_LOCK && lock.is_none() {
                        // If too many requests are waiting, it continues without the lock.
                        lock = self.api_keys.lock_for_change(KeyScope::whole(key.organization()), key.id()).await.ok();
                    }
                    self.spend(key, request.cost).await?
                }
            };
        }
    }

    async fn spend(&self, key: Arc<CachedKey>, cost: u64) -> Result<Progress, Outage> {
        Ok(match self.ledger.spend(key.id(), key.version(), cost).await? {
            ConsumeOutcome::Admitted { quota, request_count, at } => {
                self.usage.count(&key, Outcome::VALID, at);
                if key.is_ending() {
                    // The use is counted already; this records that it was made with this secret.
                    record_use(&*self.usage, &key, 0, at);
                }
                let last_request_at = key.uses().last().max(Some(at));
                // The window is computed with the time of the clock that counted this use.
                let window_ends_in = quota.window_ends_in(at);
                Progress::Decided(Verdict::Valid(Valid { key, quota, window_ends_in, request_count, last_request_at }))
            }
            ConsumeOutcome::Denied(deny_reason) => self.deny(key, deny_reason, self.clock.now()),
            ConsumeOutcome::Changed => {
                self.lookup.invalidate(key.hash());
                Progress::Read(*key.hash())
            }
        })
    }

    fn deny(&self, key: Arc<CachedKey>, deny_reason: DenyReason, at: Timestamp) -> Progress {
        if let Some(outcome) = Outcome::of(deny_reason) {
            self.usage.count(&key, outcome, at);
        }
        Progress::Decided(Verdict::Denied { deny_reason, key: Some(key) })
    }

    /// Checks everything except the limits of a key that was looked up, and returns the key. Nothing is counted.
    ///
    /// # Errors
    /// The reason why the key is denied, and the key if the requester may know it.
    pub(super) fn check(
        &self,
        requester: Requester<'_>,
        request: VerifyRequest<'_>,
        found: Option<Arc<CachedKey>>,
        now: Timestamp,
    ) -> Result<Arc<CachedKey>, (DenyReason, Option<Arc<CachedKey>>)> {
        let visible = found.filter(|key| request.is_visible_to(requester, key));
        let key = visible.ok_or((DenyReason::InvalidApiKey, None))?;
        let has_permissions = || request.has_permissions(&key);
        let checked = key
            .check(now, request.from)
            .and_then(|()| if has_permissions() { Ok(()) } else { Err(DenyReason::InsufficientPermissions) });
        match checked {
            Ok(()) => Ok(key),
            // An expired secret is reported as unknown, except to callers who can read the key.
            Err(DenyReason::InvalidApiKey) => {
                self.lookup.record_ended_secret(&key, requester.caller(), request.from, now);
                Err((DenyReason::InvalidApiKey, None))
            }
            Err(deny_reason) => Err((deny_reason, Some(key))),
        }
    }

    /// Decides everything except the limits of a key that was looked up.
    fn decide_for(
        &self,
        requester: Requester<'_>,
        request: VerifyRequest<'_>,
        found: Option<Arc<CachedKey>>,
    ) -> Progress {
        let now = self.clock.now();
        match self.check(requester, request, found, now) {
            Err((deny_reason, None)) => Progress::Decided(Verdict::Denied { deny_reason, key: None }),
            Err((deny_reason, Some(key))) => self.deny(key, deny_reason, now),
            Ok(key) if key.is_metered() => Progress::Spend(key),
            Ok(key) => {
                record_use(&*self.usage, &key, 1, now);
                let (request_count, last_request_at) = (key.uses().count(), key.uses().last());
                let quota = key.quota();
                let window_ends_in = None;
                Progress::Decided(Verdict::Valid(Valid { key, quota, window_ends_in, request_count, last_request_at }))
            }
        }
    }
}
