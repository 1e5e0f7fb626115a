//! Authenticated callers, their permissions, and the limits on the keys that they create.

use std::sync::Arc;

use crate::{
    audit::context::{Action, Actor, AuditContext, IdempotencyKey, RequestContext},
    auth::{effective_permissions::EffectivePermissions, identity::FederatedUser},
    clock::Timestamp,
    error::Error,
    id::{OrganizationId, UserId},
    keys::{api_key::Creator, ip_allowlist::IpAllowlist, key_scope::KeyScope},
    organizations::organization::OrganizationKind,
    permissions::Permission,
    verify::cached_key::CachedKey,
};

/// An authenticated caller.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The key or user that was authenticated.
    pub principal: Principal,
    /// The request, for the audit log.
    pub origin: RequestContext,
    /// When the caller of a session signed in (UTC). `None`: the request was not made in a session.
    pub signed_in_at: Option<Timestamp>,
}

/// The key or user that was authenticated.
#[derive(Clone, Debug)]
pub enum Principal {
    /// A valid API key, sent by itself or through a session.
    Key(Arc<CachedKey>),
    /// A user who was authenticated by an identity provider.
    FederatedUser(Box<FederatedUser>),
}

impl Caller {
    /// A caller with this key.
    #[must_use]
    pub fn from_key(key: Arc<CachedKey>) -> Self {
        Self { principal: Principal::Key(key), origin: RequestContext::default(), signed_in_at: None }
    }

    /// A caller who is this user of an identity provider.
    #[must_use]
    pub fn from_federated_user(person: FederatedUser) -> Self {
        let principal = Principal::FederatedUser(Box::new(person));
        Self { principal, origin: RequestContext::default(), signed_in_at: None }
    }

    /// Sets the idempotency key of the request. `None`: the request has none.
    #[must_use]
    pub fn with_idempotency_key(mut self, key: Option<IdempotencyKey>) -> Self {
        self.origin.idempotency_key = key;
        self
    }

    /// The API key that was sent, by itself or through a session. `None`: the caller is a user of an identity provider.
    #[must_use]
    pub fn key(&self) -> Option<&Arc<CachedKey>> {
        match &self.principal {
            Principal::Key(key) => Some(key),
            Principal::FederatedUser(_) => None,
        }
    }

    /// The user that the caller acts as. `None`: the key belongs to an organization, or the user of an identity
    /// provider has no current organization.
    #[must_use]
    pub fn user(&self) -> Option<UserId> {
        match &self.principal {
            Principal::Key(key) => key.user(),
            Principal::FederatedUser(person) => person.user(),
        }
    }

    /// The user of an identity provider. `None`: the caller has a key.
    #[must_use]
    pub fn federated_user(&self) -> Option<&FederatedUser> {
        match &self.principal {
            Principal::Key(_) => None,
            Principal::FederatedUser(person) => Some(person),
        }
    }

    /// The organization that the caller acts in.
    ///
    /// # Errors
    /// [`Error::NoOrganization`] for a user who is a member of several organizations or of none, if the request names
    /// none.
    pub fn organization(&self) -> Result<OrganizationId, Error> {
        match &self.principal {
            Principal::Key(key) => Ok(key.organization()),
            Principal::FederatedUser(person) => {
                person.current_organization().map(|current| current.organization.id).ok_or(Error::NoOrganization)
            }
        }
    }

    /// Whether the caller acts in the platform organization, and so may manage every organization.
    #[must_use]
    pub fn is_platform(&self) -> bool {
        let kind = match &self.principal {
            Principal::Key(key) => Some(key.kind()),
            Principal::FederatedUser(person) => person.current_organization().map(|current| current.organization.kind),
        };
        kind == Some(OrganizationKind::Platform)
    }

    /// Whether the caller acts in this organization.
    #[must_use]
    pub fn acts_in(&self, organization: OrganizationId) -> bool {
        self.organization().is_ok_and(|own| own == organization)
    }

    /// Whether the caller may verify keys of `organization`.
    #[must_use]
    pub fn can_see(&self, organization: OrganizationId) -> bool {
        self.is_platform() || self.acts_in(organization)
    }

    /// Whether denied requests of the caller may be written to the log of `organization`: they act in it or are a
    /// member of it.
    #[must_use]
    pub fn appears_in_log_of(&self, organization: OrganizationId) -> bool {
        let is_member =
            |person: &FederatedUser| person.organizations().iter().any(|place| place.organization.id == organization);
        self.can_see(organization) || matches!(&self.principal, Principal::FederatedUser(person) if is_member(person))
    }

    /// The permissions of the caller in their current organization.
    #[must_use]
    pub fn effective_permissions(&self) -> EffectivePermissions {
        match &self.principal {
            Principal::Key(key) => key.effective_permissions(),
            Principal::FederatedUser(person) => person
                .current_organization()
                .map_or_else(EffectivePermissions::none, |current| current.effective_permissions.clone()),
        }
    }

    /// Whether the caller has this permission in their current organization.
    #[must_use]
    pub fn allows(&self, permission: &Permission) -> bool {
        match &self.principal {
            Principal::Key(key) => key.allows(permission),
            Principal::FederatedUser(person) => {
                person.current_organization().is_some_and(|current| current.effective_permissions.allows(permission))
            }
        }
    }

    /// Requires that the caller's key may manage this service (`can_manage`).
    ///
    /// # Errors
    /// [`Error::CannotManage`].
    pub fn require_management(&self) -> Result<(), Error> {
        if self.can_manage() { Ok(()) } else { Err(Error::CannotManage) }
    }

    /// Whether the caller may manage this service: a key with `can_manage`, or a user of an identity provider.
    #[must_use]
    pub fn can_manage(&self) -> bool {
        self.key().is_none_or(|key| key.can_manage())
    }

    /// The latest expiry that a key created by the caller can have (UTC). `None`: it need not expire.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.key().and_then(|key| key.ends_at())
    }

    /// Requires that `end`, the expiry of a key that the caller creates or widens, is not later than that of the caller.
    /// `None`: it does not expire.
    ///
    /// # Errors
    /// [`Error::ExceedsExpiry`].
    pub fn require_expiry_within(&self, end: Option<Timestamp>) -> Result<(), Error> {
        match self.expires_at() {
            Some(own) if end.is_none_or(|end| end > own) => Err(Error::ExceedsExpiry),
            _ => Ok(()),
        }
    }

    /// The networks that a key created by the caller may be used from at most. `None`: any.
    #[must_use]
    pub fn addresses(&self) -> Option<&IpAllowlist> {
        self.key().and_then(|key| key.addresses())
    }

    /// Requires that `addresses`, the networks that what the caller creates or gets access to may be used from, are
    /// within their own. `None`: unlimited.
    ///
    /// # Errors
    /// [`Error::ExceedsAddresses`].
    pub fn require_ip_within(&self, addresses: Option<&IpAllowlist>) -> Result<(), Error> {
        match self.addresses() {
            Some(own) if addresses.is_none_or(|addresses| !own.covers(addresses)) => Err(Error::ExceedsAddresses),
            _ => Ok(()),
        }
    }

    /// Requires that a key which is created or gets more permissions is valid only within the caller's own expiry and
    /// networks. `not_before` is not compared: the caller is authenticated, so their own has passed.
    ///
    /// # Errors
    /// [`Error::ExceedsExpiry`], [`Error::ExceedsAddresses`].
    pub fn require_validity(
        &self,
        expires_at: Option<Timestamp>,
        addresses: Option<&IpAllowlist>,
    ) -> Result<(), Error> {
        self.require_expiry_within(expires_at)?;
        self.require_ip_within(addresses)
    }

    /// The creator of a key that this caller creates.
    #[must_use]
    pub fn creator(&self) -> Creator {
        match &self.principal {
            Principal::Key(key) => Creator::Key(key.id()),
            Principal::FederatedUser(person) => person.user().map_or(Creator::Operator, Creator::User),
        }
    }

    /// The audit context of something that this caller does.
    #[must_use]
    pub fn audit_context(
        &self,
        organization: OrganizationId,
        action: Action,
        permission: Option<Permission>,
        at: Timestamp,
    ) -> AuditContext {
        let actor = match &self.principal {
            Principal::Key(key) => Actor::Key(key.id(), key.user()),
            Principal::FederatedUser(person) => person.user().map_or(Actor::Unknown, Actor::User),
        };
        AuditContext { organization, actor, action, permission, origin: self.origin.clone(), at }
    }

    /// Requires a permission. This is checked before the id of a request, so that without it every id is answered
    /// alike, whether it exists or not.
    ///
    /// # Errors
    /// [`Error::Forbidden`]; [`Error::NoOrganization`].
    pub fn require(&self, permission: &Permission) -> Result<(), Error> {
        if self.allows(permission) {
            return Ok(());
        }
        self.organization()?;
        Err(Error::Forbidden(permission.clone()))
    }

    /// The caller in the organization that they act in for a request about `organization`: the platform organization if
    /// they have `permission` there, otherwise `organization` itself.
    fn with_current_organization(mut self, organization: OrganizationId, permission: &Permission) -> Self {
        if let Principal::FederatedUser(person) = &mut self.principal {
            person.select_organization(organization, permission);
        }
        self
    }

    /// The caller as they act in `organization` (`None`: the request has no valid id), if they have `permission`.
    /// Whether they have access to it is not checked.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without the permission, for every id; [`Error::NotFound`] if the request has no valid id,
    /// or the user has the permission only in other organizations.
    pub(crate) fn for_organization(
        self,
        organization: Option<OrganizationId>,
        permission: &Permission,
    ) -> Result<(Self, OrganizationId), Error> {
        let caller = match organization {
            Some(organization) => self.with_current_organization(organization, permission),
            None => self,
        };
        caller.require_or_hide(permission)?;
        Ok((caller, organization.ok_or(Error::NotFound)?))
    }

    /// The caller as they act in `organization` (`None`: the request has no valid id) with only `own`, and the keys of
    /// their user there. `whole` is the permission for all keys, which they do not have.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without `own`, or if the caller's key belongs to no user, for every id; [`Error::NotFound`]
    /// if the request has no valid id, or the caller does not act in the organization.
    pub(crate) fn with_own_keys(
        self,
        organization: Option<OrganizationId>,
        whole: &Permission,
        own: &Permission,
    ) -> Result<(Self, KeyScope), Error> {
        // A user acts in the platform organization only with the permission for all keys: the keys of their own user in
        // another organization are those of their membership there.
        let caller = match organization {
            Some(organization) => self.with_current_organization(organization, whole),
            None => self,
        };
        caller.require_or_hide(own)?;
        let scope = caller.own_keys(own).ok_or_else(|| Error::Forbidden(own.clone()))?;
        if Some(scope.organization) != organization {
            return Err(Error::NotFound);
        }
        Ok((caller, scope))
    }

    /// The keys of the caller's user in their current organization, if they have `own` there. `None`: they do not, or
    /// the caller's key belongs to no user.
    pub(crate) fn own_keys(&self, own: &Permission) -> Option<KeyScope> {
        let (organization, user) = (self.organization().ok()?, self.user()?);
        self.allows(own).then_some(KeyScope { organization, user: Some(user) })
    }

    /// Requires a permission for a request about an organization. A user without a current organization who has the
    /// permission somewhere learns only that they have no access to that of the request.
    ///
    /// # Errors
    /// [`Error::Forbidden`]; [`Error::NotFound`].
    fn require_or_hide(&self, permission: &Permission) -> Result<(), Error> {
        match self.require(permission) {
            Err(Error::NoOrganization) if self.allows_somewhere(permission) => Err(Error::NotFound),
            Err(Error::NoOrganization) => Err(Error::Forbidden(permission.clone())),
            required => required,
        }
    }

    /// Whether the caller has this permission in any organization.
    fn allows_somewhere(&self, permission: &Permission) -> bool {
        match &self.principal {
            Principal::Key(key) => key.allows(permission),
            Principal::FederatedUser(person) => {
                person.organizations().iter().any(|place| place.effective_permissions.allows(permission))
            }
        }
    }
}

/// Proof that a caller has a permission for a set of keys.
///
/// Operations take it as an argument, and only [`crate::auth::authorize::Authorizer`] creates it: they cannot be called
/// without authorization.
#[derive(Clone, Debug)]
pub struct Authority {
    caller: Caller,
    scope: KeyScope,
    permission: Permission,
}

impl Authority {
    pub(crate) fn new(caller: Caller, scope: KeyScope, permission: Permission) -> Self {
        Self { caller, scope, permission }
    }

    /// The audit context of something that is done with this authorization.
    #[must_use]
    pub fn audit_context(&self, action: Action, at: Timestamp) -> AuditContext {
        self.caller.audit_context(self.organization(), action, Some(self.permission.clone()), at)
    }

    /// Sets the idempotency key of the request. `None`: the request has none.
    #[must_use]
    pub fn with_idempotency_key(self, key: Option<IdempotencyKey>) -> Self {
        Self { caller: self.caller.with_idempotency_key(key), ..self }
    }

    /// The same authorization for fewer keys: `scope` must be a part of its scope.
    pub(crate) fn within(self, scope: KeyScope) -> Self {
        Self { scope, ..self }
    }

    /// The authorized caller.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The keys that the caller may access.
    #[must_use]
    pub fn scope(&self) -> KeyScope {
        self.scope
    }

    /// The organization of these keys.
    #[must_use]
    pub fn organization(&self) -> OrganizationId {
        self.scope.organization
    }
}
