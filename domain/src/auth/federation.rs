//! Login through identity providers: turns verified claims into a caller, provisions users, and lets users accept and
//! leave memberships.

use std::sync::{Arc, PoisonError, RwLock};

use crate::{
    audit::context::{Action, Actor, AuditContext, RequestContext},
    auth::{
        caller::Caller,
        identity::{
            ActiveMembership, AllowedOrganizations, FederatedUser, Issuer, NamedOrganization, OrganizationAccess,
            ProvisioningPolicy, SessionClaims, VerifiedClaims,
        },
    },
    clock::{Clock, Entropy},
    deny_reason::DenyReason,
    error::{Error, UnknownPerson},
    id::{OrganizationId, UserId},
    organizations::{
        organization::Organization,
        totals::OrganizationFilter,
        user::{User, UserName, UserOrigin},
    },
    permissions::{Permission, Permissions},
    ports::{self, JoinedBy, Link, NewUser, ProvidedProfile},
};

/// The ports of [`FederatedLogin`].
#[derive(Clone)]
pub struct FederationPorts {
    /// The links from identities at providers to users.
    pub external_identities: Arc<dyn ports::ExternalIdentities>,
    /// The organizations.
    pub organizations: Arc<dyn ports::Organizations>,
    /// The members of organizations.
    pub members: Arc<dyn ports::Members>,
    /// The current time.
    pub clock: Arc<dyn Clock>,
    /// Random bytes for ids.
    pub entropy: Arc<dyn Entropy>,
}

/// Authenticates users of identity providers, and manages their own memberships.
pub struct FederatedLogin {
    issuers: RwLock<Vec<Arc<Issuer>>>,
    /// The built-in issuer of people who sign in with a passkey.
    passkeys: Arc<Issuer>,
    /// The minimum lifetime of a session that is created with a token, in milliseconds. A session also lasts as long as
    /// the token if that expires later; 0: sessions expire with the token.
    session_time: i64,
    ports: FederationPorts,
}

impl FederatedLogin {
    /// Creates the operations for these providers. A session that is created with a provider's token expires with the
    /// token, or after `session_time` milliseconds if that is later.
    #[must_use]
    pub fn new(issuers: Vec<Issuer>, session_time: i64, ports: FederationPorts) -> Self {
        let issuers = RwLock::new(issuers.into_iter().map(Arc::new).collect());
        Self { issuers, passkeys: Arc::new(Issuer::passkeys()), session_time, ports }
    }

    /// Replaces all providers, except the built-in issuer of passkeys. Requests that have begun use the providers that they have found.
    pub fn replace_issuers(&self, issuers: Vec<Issuer>) {
        let issuers = issuers.into_iter().map(Arc::new).collect();
        *self.issuers.write().unwrap_or_else(PoisonError::into_inner) = issuers;
    }

    /// Authenticates the user with these claims. If the provider's policy is [`ProvisioningPolicy::CreateMember`], an
    /// unknown user is provisioned as a member of the organization that the claims name.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] if the provider is not configured; [`Error::UnknownPerson`] for a user who is a member of
    /// no organization and is not provisioned, and if the token names an external id that no organization of the provider
    /// has; [`Error::Outage`].
    pub async fn login(&self, claims: VerifiedClaims, origin: RequestContext) -> Result<Caller, Error> {
        let issuer = &*self.issuer(&claims.identity.issuer)?;
        let mut person = self.load_claimed_user(issuer, &claims).await?;
        let may_stay = match &issuer.provisioning {
            ProvisioningPolicy::Reject => false,
            ProvisioningPolicy::CreateUser => true,
            ProvisioningPolicy::CreateMember(permissions) => {
                match person.claims.organization.or_else(|| only_destination(issuer)) {
                    // No organization is named, so there is nothing to provision. A later token may name one.
                    None => true,
                    Some(organization) => {
                        if self.provision(&person, &claims, organization, permissions, origin).await? {
                            person = self.load_user(issuer, person.claims).await?;
                        }
                        false
                    }
                }
            }
        };
        if person.organizations().is_empty()
            && !may_stay
            && !self.ports.external_identities.is_known(&claims.identity).await?
        {
            let unknown = UnknownPerson { identity: claims.identity, organization: None };
            return Err(Error::UnknownPerson(Box::new(unknown)));
        }
        let later = self.ports.clock.now().plus_millis(self.session_time);
        // The permissions of an authoritative provider are valid only until its token expires, so the session ends with
        // it.
        let may_last = !issuer.is_authoritative && later > claims.expires_at;
        person.ends_at = Some(if may_last { later } else { claims.expires_at });
        person.signed_in_at = claims.signed_in_at;
        Ok(Caller::from_federated_user(person))
    }

    /// Authenticates the person with these claims, whether or not they are a member of an organization. They are not
    /// provisioned.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] if the provider is not configured; [`Error::UnknownPerson`] if the token names an
    /// external id that no organization of the provider has; [`Error::Outage`].
    pub async fn identify(&self, claims: &VerifiedClaims) -> Result<Caller, Error> {
        let issuer = self.issuer(&claims.identity.issuer)?;
        let mut person = self.load_claimed_user(&issuer, claims).await?;
        person.ends_at = Some(claims.expires_at);
        person.signed_in_at = claims.signed_in_at;
        Ok(Caller::from_federated_user(person))
    }

    /// The organization that the claims name. An unknown one, or one for which the provider is not configured, must not count
    /// as none: then the user could act in all of their organizations.
    async fn named_organization(
        &self,
        issuer: &Issuer,
        claims: &VerifiedClaims,
    ) -> Result<Option<OrganizationId>, Error> {
        let external_id = match &claims.organization {
            None => return Ok(None),
            Some(NamedOrganization::Id(id)) => return Ok(Some(*id)),
            Some(NamedOrganization::ExternalId(external_id)) => external_id,
        };
        let filter = OrganizationFilter { external_id: Some(external_id.clone()), name: None };
        let found = self.ports.organizations.list(None, &filter, None, 1).await?;
        match found.first().filter(|found| issuer.allowed_organizations.include(found)) {
            Some(found) => Ok(Some(found.id)),
            None => Err(Error::UnknownPerson(Box::new(UnknownPerson {
                identity: claims.identity.clone(),
                organization: Some(external_id.clone()),
            }))),
        }
    }

    /// Authenticates the user of a session again, with the claims that the session stores.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] if the provider is no longer configured; [`Error::Outage`].
    pub async fn resume(&self, session_claims: SessionClaims) -> Result<Caller, Error> {
        let issuer = self.issuer(&session_claims.identity.issuer)?;
        let person = self.load_user(&issuer, session_claims).await?;
        Ok(Caller::from_federated_user(person))
    }

    async fn load_claimed_user(&self, issuer: &Issuer, claims: &VerifiedClaims) -> Result<FederatedUser, Error> {
        let session_claims = SessionClaims {
            identity: claims.identity.clone(),
            organization: self.named_organization(issuer, claims).await?,
            permissions: claims.permissions.clone(),
        };
        self.load_user(issuer, session_claims).await
    }

    async fn load_user(&self, issuer: &Issuer, session_claims: SessionClaims) -> Result<FederatedUser, Error> {
        let memberships = self
            .ports
            .external_identities
            .find_memberships(&session_claims.identity, session_claims.organization)
            .await?;
        let reached = memberships.into_iter().filter(|at| issuer.allowed_organizations.include(&at.organization));
        // The operator has listed these organizations explicitly, so their members need not accept.
        let is_listed = matches!(issuer.allowed_organizations, AllowedOrganizations::These(_));
        let organizations = reached.map(|ActiveMembership { organization, user, permissions, is_accepted }| {
            let effective_permissions = issuer.effective_permissions(permissions, session_claims.permissions.as_ref());
            OrganizationAccess { organization, user, effective_permissions, is_accepted: is_accepted || is_listed }
        });
        let organizations = organizations.collect();
        Ok(FederatedUser::new(session_claims, organizations))
    }

    /// Whether a provider with this name (`iss`) is configured, or it is the built-in issuer of passkeys.
    #[must_use]
    pub fn trusts(&self, name: &str) -> bool {
        self.issuer(name).is_ok()
    }

    /// Whether the provider with this name may log users in to an organization. Only then may the organization add
    /// members by their identity at that provider.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the organization does not exist; [`Error::Outage`].
    pub async fn may_log_in_to(&self, name: &str, organization: OrganizationId) -> Result<bool, Error> {
        let organization = self.ports.organizations.find(organization).await?.ok_or(Error::NotFound)?;
        Ok(self.allows(name, &organization))
    }

    /// Whether a provider with this name is configured for this organization.
    #[must_use]
    pub fn allows(&self, name: &str, organization: &Organization) -> bool {
        self.issuer(name).is_ok_and(|issuer| issuer.allowed_organizations.include(organization))
    }

    /// The user that a federated user acts as in their current organization. `None`: they have no current organization.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the user was removed meanwhile; [`Error::Outage`].
    pub async fn user(&self, person: &FederatedUser) -> Result<Option<User>, Error> {
        let Some(current) = person.current_organization() else { return Ok(None) };
        Ok(Some(self.ports.members.find(current.organization.id, current.user).await?.ok_or(Error::NotFound)?))
    }

    /// Accepts the membership in an organization (`None`: the request has no valid id). From then on it also counts for
    /// requests that name no organization.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the caller is not a user of an identity provider, is not a member of the organization, or
    /// their claims do not allow it; [`Error::Outage`].
    pub async fn accept(&self, caller: &Caller, organization: Option<OrganizationId>) -> Result<(), Error> {
        let (organization, user) = self.own_user(caller, organization).await?;
        let identity = &caller.federated_user().ok_or(Error::NotFound)?.claims.identity;
        let context = self.own_audit_context(organization, user, Action::AcceptMembership, caller.origin.clone());
        self.ports.external_identities.accept(organization, identity, None, &context).await
    }

    /// Leaves an organization (`None`: the request has no valid id): erases the personal data of the caller's user
    /// there. Allowed for users of identity providers, and for keys of users with `members:admin`.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for a key without `members:admin`; [`Error::NotFound`] if the caller is not a member of the
    /// organization; [`Error::LastAdmin`]; [`Error::Outage`].
    pub async fn leave(&self, caller: &Caller, organization: Option<OrganizationId>) -> Result<(), Error> {
        let permission = Permission::MEMBERS_ADMIN;
        let (organization, user, context) = if caller.key().is_some() {
            let organization = organization.filter(|meant| caller.acts_in(*meant)).ok_or(Error::NotFound)?;
            let user = caller.user().ok_or(Error::NotFound)?;
            caller.require(&permission)?;
            let context =
                caller.audit_context(organization, Action::RemoveMember, Some(permission), self.ports.clock.now());
            (organization, user, context)
        } else {
            let (organization, user) = self.own_user(caller, organization).await?;
            let context = self.own_audit_context(organization, user, Action::RemoveMember, caller.origin.clone());
            (organization, user, context)
        };
        self.ports.members.remove(organization, user, &context).await
    }

    /// The caller's user in an organization, even if the organization is suspended.
    async fn own_user(
        &self,
        caller: &Caller,
        organization: Option<OrganizationId>,
    ) -> Result<(OrganizationId, UserId), Error> {
        let person = caller.federated_user().ok_or(Error::NotFound)?;
        let organization = organization.filter(|meant| person.may_act_in(*meant)).ok_or(Error::NotFound)?;
        match self.ports.external_identities.find_link(organization, &person.claims.identity).await? {
            Link::User(user) => Ok((organization, user)),
            Link::Unknown | Link::Removed => Err(Error::NotFound),
        }
    }

    fn own_audit_context(
        &self,
        organization: OrganizationId,
        user: UserId,
        action: Action,
        origin: RequestContext,
    ) -> AuditContext {
        AuditContext {
            organization,
            actor: Actor::User(user),
            action,
            permission: None,
            origin,
            at: self.ports.clock.now(),
        }
    }

    fn issuer(&self, name: &str) -> Result<Arc<Issuer>, Error> {
        if name == self.passkeys.name {
            return Ok(self.passkeys.clone());
        }
        let unknown = Error::Unauthenticated(DenyReason::InvalidApiKey);
        let issuers = self.issuers.read().unwrap_or_else(PoisonError::into_inner);
        issuers.iter().find(|issuer| issuer.name == name).cloned().ok_or(unknown)
    }

    /// Provisions the user on login as a member of the organization that their claims name. Users who were added before
    /// get the same permissions as before; removed users are not added again. Returns whether anything changed.
    async fn provision(
        &self,
        person: &FederatedUser,
        claims: &VerifiedClaims,
        organization: OrganizationId,
        permissions: &Permissions,
        origin: RequestContext,
    ) -> Result<bool, Error> {
        let is_there = |place: &OrganizationAccess| place.organization.id == organization && place.is_accepted;
        if person.organizations().iter().any(is_there) {
            return Ok(false);
        }
        let found = self.ports.organizations.find(organization).await?;
        if !found.is_some_and(|found| self.may_provision(&claims.identity.issuer, &found)) {
            return Ok(false);
        }
        let name = claims.name.clone();
        match self.ports.external_identities.find_link(organization, &claims.identity).await? {
            Link::Removed => Ok(false),
            Link::User(user) => {
                let profile = ProvidedProfile { name, email: claims.email.clone() };
                let context = self.own_audit_context(organization, user, Action::AcceptMembership, origin);
                match self
                    .ports
                    .external_identities
                    .accept(organization, &claims.identity, Some(profile), &context)
                    .await
                {
                    // The user was removed at the same time.
                    Err(Error::NotFound) => Ok(false),
                    accepted => accepted.map(|()| true),
                }
            }
            Link::Unknown => {
                let id = UserId::generate(&*self.ports.clock, &*self.ports.entropy);
                let context = self.own_audit_context(organization, id, Action::AddMember, origin);
                let user = User {
                    id,
                    organization,
                    name: name.unwrap_or_else(UserName::unnamed),
                    email: claims.email.clone(),
                    permissions: permissions.clone(),
                    sets: Vec::new(),
                    origin: UserOrigin::IdentityProvider,
                    created_at: context.at,
                };
                let identity = Some(claims.identity.clone());
                let new = NewUser { user, identity, joined_by: JoinedBy::Provisioning };
                match self.ports.members.add(new, &context).await {
                    // Another request of the same user has added them.
                    Ok(_) | Err(Error::AlreadyMember) => Ok(true),
                    Err(Error::CapReached(_) | Error::NotFound) => Ok(false),
                    Err(error) => Err(error),
                }
            }
        }
    }

    fn may_provision(&self, issuer: &str, organization: &Organization) -> bool {
        organization.suspended_at.is_none() && self.allows(issuer, organization)
    }
}

/// The organization to provision users in whose claims name none: the only one that the provider is configured for.
fn only_destination(issuer: &Issuer) -> Option<OrganizationId> {
    match &issuer.allowed_organizations {
        AllowedOrganizations::These(these) if these.len() == 1 => these.first().copied(),
        AllowedOrganizations::These(_) | AllowedOrganizations::Tenants | AllowedOrganizations::All => None,
    }
}
