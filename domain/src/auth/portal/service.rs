//! Creating, opening and ending portal sessions, authorizing their requests, and the settings of the portal.

use std::sync::Arc;

use super::{
    session::{
        LINK_LIFETIME_MS, PermissionsCeiling, PortalAction, PortalLimits, PortalSession, PortalSubject, PortalTheme,
        SESSION_LIFETIME_MS,
    },
    settings::{PortalSettings, PortalSettingsPatch},
    token::{PortalSecret, PortalSecretHash, PortalSecretKind},
    web_address::{EmbeddingOrigin, ReturnUrl},
};
use crate::{
    audit::context::{Action, IdempotencyKey, RequestContext},
    auth::{
        authorize::Authorizer,
        caller::{Authority, Caller},
    },
    clock::{Clock, Entropy, Timestamp},
    error::Error,
    id::{ExternalId, KeyId, PortalSessionId, SessionId},
    keys::{KeySettings, Keys, api_key::ApiKey, key_scope::KeyScope, secret::KeyPrefix},
    organizations::{organization::Organization, require_permissions},
    permissions::Permission,
    ports,
    verify::lookup::KeyLookup,
};

/// The ports of [`PortalService`].
#[derive(Clone)]
pub struct PortalPorts {
    /// The stored settings and sessions.
    pub portals: Arc<dyn ports::Portals>,
    /// The organizations.
    pub organizations: Arc<dyn ports::Organizations>,
    /// The members of organizations.
    pub accounts: Arc<dyn ports::Accounts>,
    /// The rate limit of the requests of a session.
    pub rate: Arc<dyn ports::RequestRate<PortalSessionId>>,
    /// The current time.
    pub clock: Arc<dyn Clock>,
    /// Random bytes for ids and secrets.
    pub entropy: Arc<dyn Entropy>,
}

/// The operations of the customers' portal.
pub struct PortalService {
    pub(super) keys: Arc<Keys>,
    pub(super) ports: PortalPorts,
    lookup: Arc<KeyLookup>,
    authorizer: Arc<Authorizer>,
}

/// A portal session to create.
#[derive(Clone, Debug)]
pub struct NewPortalSession {
    /// The customer.
    pub subject: PortalSubject,
    /// What it allows beside listing the keys.
    pub actions: Vec<PortalAction>,
    /// The permissions that its keys may have.
    pub ceiling: PermissionsCeiling,
    /// The limits of its keys.
    pub limits: PortalLimits,
    /// The prefix of the secrets of its keys. `None`: that of the key policy, or the default one.
    pub prefix: Option<KeyPrefix>,
    /// Where the page leads back to. `None`: nowhere.
    pub return_url: Option<ReturnUrl>,
    /// The colours of the page.
    pub theme: PortalTheme,
}

/// Proof that a request was made in a portal session that is valid now. Only [`PortalService::authorize`] creates it.
#[derive(Clone, Debug)]
pub struct PortalAuthority {
    session: PortalSession,
    organization: Organization,
    authority: Authority,
}

impl PortalAuthority {
    /// The session.
    #[must_use]
    pub fn session(&self) -> &PortalSession {
        &self.session
    }

    /// Its organization.
    #[must_use]
    pub fn organization(&self) -> &Organization {
        &self.organization
    }

    /// The caller: the key that created the session, which each request is authorized with.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        self.authority.caller()
    }

    /// The authority of that key, for the organization, or for the keys of the user whom the session is for.
    pub(super) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Sets the idempotency key of the request. `None`: the request has none.
    #[must_use]
    pub fn with_idempotency_key(self, key: Option<IdempotencyKey>) -> Self {
        Self { authority: self.authority.with_idempotency_key(key), ..self }
    }
}

impl PortalService {
    /// Creates the operations from the use cases and ports that they need.
    #[must_use]
    pub fn new(keys: Arc<Keys>, lookup: Arc<KeyLookup>, authorizer: Arc<Authorizer>, ports: PortalPorts) -> Self {
        Self { keys, ports, lookup, authorizer }
    }

    /// The settings of the portal of an organization.
    ///
    /// # Errors
    /// [`Error::Outage`].
    pub async fn settings(&self, authority: &Authority) -> Result<PortalSettings, Error> {
        Ok(self.ports.portals.settings(authority.organization()).await?)
    }

    /// The settings of the portal of a session.
    ///
    /// # Errors
    /// [`Error::Outage`].
    pub async fn settings_of(&self, portal: &PortalAuthority) -> Result<PortalSettings, Error> {
        Ok(self.ports.portals.settings(portal.session.organization).await?)
    }

    /// The current time, as the operations use it.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    /// Changes the settings of the portal of an organization, and returns the new ones.
    ///
    /// # Errors
    /// [`Error::NothingToChange`]; [`Error::NotFound`] if the organization was deleted; [`Error::TooMany`];
    /// [`Error::Outage`].
    pub async fn update_settings(
        &self,
        authority: &Authority,
        patch: PortalSettingsPatch,
    ) -> Result<PortalSettings, Error> {
        if patch == PortalSettingsPatch::default() {
            return Err(Error::NothingToChange);
        }
        let context = authority.audit_context(Action::UpdatePortal, self.ports.clock.now());
        self.ports.portals.update_settings(authority.organization(), &patch, &context).await
    }

    /// The origins that may embed the page of a session (`None`: the request has no valid id).
    ///
    /// # Errors
    /// [`Error::Outage`].
    pub async fn embedding_origins(&self, session: Option<PortalSessionId>) -> Result<Vec<EmbeddingOrigin>, Error> {
        let Some(session) = session else { return Ok(Vec::new()) };
        Ok(self.ports.portals.embedding_origins(session).await?)
    }

    /// Creates a session. Returns it with the secret of its link.
    ///
    /// # Errors
    /// [`Error::NotExchangeable`] if the caller has no key; [`Error::ExceedsPermissions`] if they do not have all
    /// permissions of the ceiling; [`Error::ExceedsAddresses`] if their key has an IP allowlist, which the customer's browser
    /// would not be in; [`Error::KeyPolicyViolated`] if the session allows creating keys, and the key that its customer gets by
    /// default would break the key policy; [`Error::UserNotFound`]; [`Error::CapReached`]; [`Error::TooMany`]; [`Error::Outage`].
    pub async fn create(
        &self,
        authority: &Authority,
        new: NewPortalSession,
    ) -> Result<(PortalSession, PortalSecret), Error> {
        let caller = authority.caller();
        let key = caller.key().ok_or(Error::KeyRequired)?;
        require_permissions(authority, new.ceiling.permissions())?;
        caller.require_ip_within(None)?;
        let now = self.ports.clock.now();
        let new = if new.actions.contains(&PortalAction::Create) {
            self.within_key_policy(authority, new, now).await?
        } else {
            new
        };
        let session = PortalSession {
            id: PortalSessionId::generate(&*self.ports.clock, &*self.ports.entropy),
            organization: authority.organization(),
            subject: new.subject,
            actions: new.actions,
            ceiling: new.ceiling,
            limits: new.limits,
            prefix: new.prefix,
            return_url: new.return_url,
            theme: new.theme,
            creator: *key.hash(),
            created_by: key.id(),
            created_at: now,
            is_opened: false,
            expires_at: now.plus_millis(LINK_LIFETIME_MS).no_later_than(caller.expires_at()),
        };
        let secret = PortalSecret::generate(PortalSecretKind::Link, &*self.ports.entropy);
        let context = authority.audit_context(Action::CreatePortalSession, now);
        self.ports.portals.create(&session, &secret.hash(), &context).await?;
        Ok((session, secret))
    }

    /// The session with the longest lifetime of the key policy, if its own is not shorter.
    ///
    /// # Errors
    /// [`Error::KeyPolicyViolated`] if a key with the whole ceiling would break the policy: who creates the session can correct
    /// that, its customer cannot. [`Error::NotFound`] if the organization was deleted; [`Error::Outage`].
    async fn within_key_policy(
        &self,
        authority: &Authority,
        mut new: NewPortalSession,
        now: Timestamp,
    ) -> Result<NewPortalSession, Error> {
        let (organization, caller) = (authority.organization(), authority.caller());
        // Keys of the portal have no permission sets.
        let policies = self.keys.applied_policies(organization, Vec::new()).await?;
        let by_policy = policies.max_lifetime().map(|days| days.millis().unsigned_abs());
        new.limits.max_lifetime_ms = new.limits.max_lifetime_ms.into_iter().chain(by_policy).min();
        let expires_at = new.limits.expiry(None, now).unwrap_or(None).map(|end| end.no_later_than(caller.expires_at()));
        let settings = KeySettings {
            permissions: new.ceiling.permissions().clone(),
            expires_at: expires_at.or(caller.expires_at()),
            can_manage: false,
            ..KeySettings::default()
        };
        let prefix = new.prefix.clone().or_else(|| policies.prefix().cloned());
        let start = (prefix.unwrap_or_else(KeyPrefix::default_prefix), String::new());
        let id = KeyId::generate(&*self.ports.clock, &*self.ports.entropy);
        let key = ApiKey { settings, ..ApiKey::beginning_with(id, organization, start, caller.creator(), now) };
        let broken = policies.broken_by_change(&key, now, now);
        if broken.is_empty() { Ok(new) } else { Err(Error::KeyPolicyViolated(broken)) }
    }

    /// Lists at most `limit` sessions, of all customers or of one, that have not expired, sorted by id, beginning after `after`
    /// (`None`: with the first).
    ///
    /// # Errors
    /// [`Error::Outage`].
    pub async fn list(
        &self,
        authority: &Authority,
        customer: Option<&ExternalId>,
        after: Option<PortalSessionId>,
        limit: u64,
    ) -> Result<Vec<PortalSession>, Error> {
        let now = self.ports.clock.now();
        Ok(self.ports.portals.list(authority.organization(), customer, after, limit, now).await?)
    }

    /// Ends a session of the organization (`None`: the request has no valid id).
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Outage`].
    pub async fn revoke(&self, authority: &Authority, session: Option<PortalSessionId>) -> Result<(), Error> {
        let session = session.ok_or(Error::NotFound)?;
        let context = authority.audit_context(Action::RevokePortalSession, self.ports.clock.now());
        let is_ended = self.ports.portals.delete(authority.organization(), session, &context).await?;
        if is_ended { Ok(()) } else { Err(Error::NotFound) }
    }

    /// Opens the link with this secret, which is not valid any more then. Returns the session and its token.
    ///
    /// # Errors
    /// [`Error::PortalLinkNotFound`] if the link is unknown, expired, revoked or opened, or its session is not valid any more;
    /// [`Error::TooMany`]; [`Error::Outage`].
    pub async fn open(&self, secret: &str, origin: RequestContext) -> Result<(PortalAuthority, PortalSecret), Error> {
        let hash = PortalSecretHash::of(PortalSecretKind::Link, secret).ok_or(Error::PortalLinkNotFound)?;
        let found = self.ports.portals.find_by_link(&hash).await?.ok_or(Error::PortalLinkNotFound)?;
        let mut opened = match self.check(found, origin).await {
            Err(Error::PortalSessionRequired) => return Err(Error::PortalLinkNotFound),
            checked => checked?,
        };
        let now = self.ports.clock.now();
        let expires_at = now.plus_millis(SESSION_LIFETIME_MS).no_later_than(opened.caller().expires_at());
        let token = PortalSecret::generate(PortalSecretKind::Token, &*self.ports.entropy);
        let context = opened.authority.audit_context(Action::OpenPortalSession, now);
        self.ports.portals.open(opened.session.id, &token.hash(), expires_at, &context).await?;
        (opened.session.is_opened, opened.session.expires_at) = (true, expires_at);
        Ok((opened, token))
    }

    /// Authorizes a request with this token. It counts towards the rate limit of the session, and if that allows it, of the
    /// organization.
    ///
    /// # Errors
    /// [`Error::PortalSessionRequired`] if the token is unknown, or its session is not valid any more; [`Error::TooMany`];
    /// [`Error::Outage`].
    pub async fn authorize(&self, token: &str, origin: RequestContext) -> Result<PortalAuthority, Error> {
        let hash = PortalSecretHash::of(PortalSecretKind::Token, token).ok_or(Error::PortalSessionRequired)?;
        let found = self.ports.portals.find_by_token(&hash).await?.ok_or(Error::PortalSessionRequired)?;
        self.check(found, origin).await
    }

    /// Ends the session of the request.
    ///
    /// # Errors
    /// [`Error::Outage`].
    pub async fn close(&self, portal: &PortalAuthority) -> Result<(), Error> {
        let context = portal.authority.audit_context(Action::ClosePortalSession, self.ports.clock.now());
        self.ports.portals.delete(portal.session.organization, portal.session.id, &context).await?;
        Ok(())
    }

    /// Checks that a session is valid: it has not expired; its organization is neither deleted nor suspended; the secret
    /// that created it is valid and may still create it; and its customer, if that is a user, is a member. A session whose
    /// secret may not create it any more is deleted: it must not be valid again when the key gets back what it has lost.
    ///
    /// # Errors
    /// [`Error::PortalSessionRequired`]; [`Error::TooMany`]; [`Error::Outage`].
    async fn check(&self, session: PortalSession, origin: RequestContext) -> Result<PortalAuthority, Error> {
        let ended = Error::PortalSessionRequired;
        let (now, organization) = (self.ports.clock.now(), session.organization);
        if now >= session.expires_at {
            return Err(ended);
        }
        // Before anything that is shared by the organization: one customer must not use it up.
        self.ports.rate.count(session.id)?;
        let Some(organization_now) = self.ports.organizations.find(organization).await? else { return Err(ended) };
        if organization_now.suspended_at.is_some() {
            return Err(ended);
        }
        let mut authority = self.creator_authority(&session, origin.clone(), now).await?;
        if authority.is_none() {
            // The cached key may be older than the session: only what is stored now ends it.
            self.lookup.invalidate(&session.creator);
            authority = self.creator_authority(&session, origin, now).await?;
        }
        let Some(authority) = authority else {
            self.ports.portals.end(session.id).await?;
            return Err(ended);
        };
        let authority = match session.subject {
            PortalSubject::ExternalId(_) => authority,
            PortalSubject::User(user) => {
                if self.ports.accounts.find_membership(organization, user).await?.is_none() {
                    return Err(ended);
                }
                authority.within(KeyScope { organization, user: Some(user) })
            }
        };
        Ok(PortalAuthority { session, organization: organization_now, authority })
    }

    /// The authority of the key that created a session. `None`: its secret is not valid any more, or could not create the
    /// session any more.
    ///
    /// # Errors
    /// [`Error::TooMany`]; [`Error::Outage`].
    async fn creator_authority(
        &self,
        session: &PortalSession,
        origin: RequestContext,
        now: Timestamp,
    ) -> Result<Option<Authority>, Error> {
        // Not by the address of the customer's browser: a key with an IP allowlist is refused, as at the creation.
        let key =
            self.lookup.find(&session.creator).await?.filter(|key| key.check(now, None).is_ok() && key.can_manage());
        let Some(key) = key else { return Ok(None) };
        let origin = RequestContext { session: Some(SessionId::from_uuid(session.id.uuid())), ..origin };
        let caller = Caller { origin, ..Caller::from_key(key) };
        let permission = Permission::PORTAL_SESSIONS_WRITE;
        match self.authorizer.authorize(caller, &permission, Some(session.organization)).await {
            Err(Error::Forbidden(_) | Error::NotFound) => Ok(None),
            authorized => {
                Ok(Some(authorized?).filter(|held| require_permissions(held, session.ceiling.permissions()).is_ok()))
            }
        }
    }
}
