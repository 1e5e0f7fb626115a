//! Creating, revoking and redeeming invitations and recovery links.

use std::sync::Arc;

use crate::{
    audit::context::{Action, Actor, AuditContext, RequestContext},
    auth::{
        caller::{Authority, Caller},
        effective_permissions::EffectivePermissions,
        federation::FederatedLogin,
        identity::FederatedUser,
        invitation::{
            Invitation, InvitationCreator, InvitationKind, InvitationToken, InvitationTokenHash, LIFETIME_MS,
            OpenedInvitation, RedeemedInvitation,
        },
        session::SessionsOf,
        step_up::require_fresh_sign_in,
    },
    clock::{Clock, Entropy, Timestamp},
    error::{Error, Grantee},
    id::{Identity, InvitationId, OrganizationId, SetId, UserId},
    keys::{api_key::Creator, key_scope::KeyScope},
    organizations::{
        members::require_unrestricted_for_sets,
        organization::Organization,
        permission_set::{PermissionSet, effective},
        require_permissions, require_unrestricted,
        user::{Email, User, UserName, UserOrigin},
    },
    permissions::{Permission, Permissions},
    ports::{self, JoinedBy, NewUser, ProvidedProfile},
};

/// The ports of [`Invitations`].
#[derive(Clone)]
pub struct InvitationPorts {
    /// The stored invitations and recovery links.
    pub invitations: Arc<dyn ports::Invitations>,
    /// The organizations.
    pub organizations: Arc<dyn ports::Organizations>,
    /// The members of organizations.
    pub members: Arc<dyn ports::Members>,
    /// The permission sets.
    pub sets: Arc<dyn ports::Sets>,
    /// The permissions of members.
    pub accounts: Arc<dyn ports::Accounts>,
    /// The keys, for those that have created links.
    pub api_keys: Arc<dyn ports::ApiKeys>,
    /// The sessions of members.
    pub sessions: Arc<dyn ports::Sessions>,
    /// The current time.
    pub clock: Arc<dyn Clock>,
    /// Random bytes for ids and tokens.
    pub entropy: Arc<dyn Entropy>,
}

/// A member to invite.
#[derive(Clone, Debug)]
pub struct NewInvitation {
    /// The name of the new member.
    pub name: UserName,
    /// The e-mail address. `None`: that of the provider is used, if it sends one.
    pub email: Option<Email>,
    /// The member's own permissions.
    pub permissions: Permissions,
    /// The permission sets of the member.
    pub sets: Vec<SetId>,
}

/// Creates, lists, revokes and redeems invitations and recovery links.
pub struct Invitations {
    federation: Arc<FederatedLogin>,
    ports: InvitationPorts,
}

impl Invitations {
    /// Creates the operations from these ports. `federation` says which providers may log users in to which
    /// organizations.
    #[must_use]
    pub fn new(federation: Arc<FederatedLogin>, ports: InvitationPorts) -> Self {
        Self { federation, ports }
    }

    /// Creates an invitation. Returns it with its token.
    ///
    /// # Errors
    /// [`Error::SetNotFound`]; [`Error::ExceedsPermissions`]; [`Error::ExceedsExpiry`] and [`Error::ExceedsAddresses`] if
    /// the caller's key has an expiry or an IP allowlist; [`Error::FreshSignInRequired`];
    /// [`Error::TooManyPermissions`]; [`Error::CapReached`]; [`Error::TooMany`]; [`Error::Outage`].
    pub async fn create(
        &self,
        authority: &Authority,
        new: NewInvitation,
    ) -> Result<(Invitation, InvitationToken), Error> {
        let sets = self.ports.sets.resolve(authority.organization(), &new.sets).await?;
        let given = effective(&new.permissions, &sets);
        require_permissions(authority, &given)?;
        let now = self.ports.clock.now();
        require_unrestricted(authority, &Permissions::default(), &given, now)?;
        require_unrestricted_for_sets(authority, &[], &new.sets)?;
        if given.len() > Permissions::MAX_EFFECTIVE {
            return Err(Error::TooManyPermissions(Grantee::Requested));
        }
        let created_by = self.creator(authority, &given).await?;
        let invitation = Invitation {
            name: new.name,
            email: new.email,
            permissions: new.permissions,
            sets: new.sets,
            ..self.link(authority.organization(), InvitationKind::Invitation, created_by, UserName::unnamed(), now)
        };
        let token = InvitationToken::generate(&*self.ports.entropy);
        let context = authority.audit_context(Action::CreateInvitation, now);
        self.ports.invitations.create(&invitation, &token.hash(), &context).await?;
        Ok((invitation, token))
    }

    /// Creates a recovery link for a member (`None`: the request has no valid id), and ends their sessions. An earlier
    /// link for the member is revoked. Returns it with its token.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::ExceedsPermissions`] if the caller does not have all permissions of the member,
    /// except for platform callers in other organizations; [`Error::ExceedsExpiry`] and [`Error::ExceedsAddresses`] if
    /// the caller's key has an expiry or an IP allowlist; [`Error::FreshSignInRequired`]; [`Error::CapReached`];
    /// [`Error::TooMany`]; [`Error::Outage`], possibly after sessions were ended.
    pub async fn create_recovery_link(
        &self,
        authority: &Authority,
        user: Option<UserId>,
    ) -> Result<(Invitation, InvitationToken), Error> {
        let (organization, user) = (authority.organization(), user.ok_or(Error::NotFound)?);
        let member = self.ports.members.find(organization, user).await?.ok_or(Error::NotFound)?;
        let needed = if is_platform_elsewhere(authority.caller().organization()?, organization) {
            Permissions::default()
        } else {
            self.ports.accounts.find_membership(organization, user).await?.ok_or(Error::NotFound)?
        };
        require_permissions(authority, &needed)?;
        // The person who redeems the link acts without the expiry and the networks of the caller's key.
        authority.caller().require_validity(None, None)?;
        let now = self.ports.clock.now();
        // The link hands over the account, even the caller's own.
        require_fresh_sign_in(authority.caller(), now)?;
        let created_by = self.creator(authority, &needed).await?;
        let end = authority.audit_context(Action::EndSessions, now);
        self.ports.sessions.delete_all(SessionsOf::Member(organization, user), None, Some(end)).await?;
        let now = self.ports.clock.now();
        let invitation = Invitation {
            email: member.email,
            user: Some(user),
            ..self.link(organization, InvitationKind::Recovery, created_by, member.name, now)
        };
        let token = InvitationToken::generate(&*self.ports.entropy);
        let context = authority.audit_context(Action::CreateRecoveryLink, now);
        self.ports.invitations.create(&invitation, &token.hash(), &context).await?;
        Ok((invitation, token))
    }

    fn link(
        &self,
        organization: OrganizationId,
        kind: InvitationKind,
        created_by: InvitationCreator,
        name: UserName,
        now: Timestamp,
    ) -> Invitation {
        Invitation {
            id: InvitationId::generate(&*self.ports.clock, &*self.ports.entropy),
            organization,
            kind,
            name,
            email: None,
            permissions: Permissions::default(),
            sets: Vec::new(),
            user: None,
            created_by,
            created_at: now,
            expires_at: now.plus_millis(LIFETIME_MS),
        }
    }

    /// The caller as the creator of a link that needs these permissions.
    async fn creator(&self, authority: &Authority, needed: &Permissions) -> Result<InvitationCreator, Error> {
        let caller = authority.caller();
        let organization = caller.organization()?;
        let has_own_permissions = match caller.federated_user().and_then(FederatedUser::user) {
            None => true,
            Some(user) => {
                let held = self.ports.accounts.find_membership(organization, user).await?;
                held.is_some_and(|held| suffices(&EffectivePermissions::of_organization(held), needed))
            }
        };
        Ok(InvitationCreator { organization, creator: caller.creator(), has_own_permissions })
    }

    /// Lists at most `limit` open invitations and recovery links, sorted by id, beginning after `after` (`None`: with
    /// the first).
    ///
    /// # Errors
    /// [`Error::Outage`].
    pub async fn list(
        &self,
        authority: &Authority,
        after: Option<InvitationId>,
        limit: u64,
    ) -> Result<Vec<Invitation>, Error> {
        let now = self.ports.clock.now();
        Ok(self.ports.invitations.list(authority.organization(), after, limit, now).await?)
    }

    /// One open invitation or recovery link (`None`: the request has no valid id).
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Outage`].
    pub async fn get(&self, authority: &Authority, id: Option<InvitationId>) -> Result<Invitation, Error> {
        let (id, now) = (id.ok_or(Error::NotFound)?, self.ports.clock.now());
        self.ports.invitations.find(authority.organization(), id, now).await?.ok_or(Error::NotFound)
    }

    /// Revokes an invitation or a recovery link (`None`: the request has no valid id).
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Outage`].
    pub async fn revoke(&self, authority: &Authority, id: Option<InvitationId>) -> Result<(), Error> {
        let invitation = self.get(authority, id).await?;
        let action = match invitation.kind {
            InvitationKind::Invitation => Action::RevokeInvitation,
            InvitationKind::Recovery => Action::RevokeRecoveryLink,
        };
        let context = authority.audit_context(action, self.ports.clock.now());
        self.ports.invitations.revoke(&invitation, &context).await
    }

    /// The invitation or recovery link with this token, as the person who has the link sees it.
    ///
    /// # Errors
    /// [`Error::InvitationNotFound`] if it is unknown, expired, revoked or redeemed, its organization is suspended or
    /// deleted, or its creator could no longer create it; [`Error::Outage`].
    pub async fn open(&self, token: &str) -> Result<OpenedInvitation, Error> {
        let Some(hash) = InvitationTokenHash::of(token) else { return Err(Error::InvitationNotFound) };
        let found = self.ports.invitations.find_by_token(&hash).await?;
        let invitation =
            found.filter(|found| self.ports.clock.now() < found.expires_at).ok_or(Error::InvitationNotFound)?;
        let organization = self.ports.organizations.find(invitation.organization).await?;
        let organization =
            organization.filter(|found| found.suspended_at.is_none()).ok_or(Error::InvitationNotFound)?;
        if self.is_still_granted(&invitation).await? {
            Ok(OpenedInvitation { invitation, organization })
        } else {
            Err(Error::InvitationNotFound)
        }
    }

    /// Whether the creator of a link could create it now: they have not been removed, deleted, disabled or expired, and
    /// still have the permissions for it.
    async fn is_still_granted(&self, invitation: &Invitation) -> Result<bool, Error> {
        let InvitationCreator { organization, creator, has_own_permissions } = invitation.created_by;
        let needed = match invitation.user {
            None => effective(&invitation.permissions, &self.existing_sets(invitation).await?),
            Some(_) if is_platform_elsewhere(organization, invitation.organization) => Permissions::default(),
            Some(user) => match self.ports.accounts.find_membership(invitation.organization, user).await? {
                Some(held) => held,
                None => return Ok(false),
            },
        };
        let membership = async |user| self.ports.accounts.find_membership(organization, user).await;
        let held = match creator {
            Creator::Operator => return Ok(false),
            Creator::User(user) => match membership(user).await? {
                None => return Ok(false),
                Some(_) if !has_own_permissions => return Ok(true),
                Some(held) => EffectivePermissions::of_organization(held),
            },
            Creator::Key(key) => {
                let Some(key) = self.ports.api_keys.find(KeyScope::whole(organization), key).await? else {
                    return Ok(false);
                };
                let has_expired = key.settings.expires_at.is_some_and(|end| end <= self.ports.clock.now());
                if !key.settings.enabled || !key.settings.can_manage || has_expired {
                    return Ok(false);
                }
                let sets = match self.ports.sets.resolve(organization, &key.settings.sets).await {
                    // A permission set of the key was deleted after the key was read.
                    Err(Error::SetNotFound) => Vec::new(),
                    sets => sets?,
                };
                let own = effective(&key.settings.permissions, &sets);
                match key.user {
                    None => EffectivePermissions::of_organization(own),
                    Some(user) => match membership(user).await? {
                        None => return Ok(false),
                        Some(held) => EffectivePermissions::of_user(own, held),
                    },
                }
            }
        };
        Ok(suffices(&held, &needed))
    }

    /// The permission sets of an invitation that still exist.
    async fn existing_sets(&self, invitation: &Invitation) -> Result<Vec<PermissionSet>, Error> {
        let mut sets = Vec::with_capacity(invitation.sets.len());
        for set in &invitation.sets {
            sets.extend(self.ports.sets.find(invitation.organization, *set).await?);
        }
        Ok(sets)
    }

    /// Redeems an invitation or a recovery link by a signed-in person. `profile` is what their provider says about them.
    ///
    /// # Errors
    /// [`Error::PersonRequired`] if the caller has a key; [`Error::ProviderNotAllowed`] if the caller's token is for
    /// another organization; those of [`Invitations::redeem`].
    pub async fn redeem_by_caller(
        &self,
        caller: &Caller,
        token: &str,
        profile: ProvidedProfile,
    ) -> Result<RedeemedInvitation, Error> {
        let person = caller.federated_user().ok_or(Error::PersonRequired)?;
        let opened = self.open(token).await?;
        if !person.may_act_in(opened.organization.id) {
            return Err(Error::ProviderNotAllowed);
        }
        self.redeem_opened(opened, &person.claims.identity, profile, caller.origin.clone()).await
    }

    /// Redeems an invitation or a recovery link by a person who has just proved this identity, and need not be known
    /// yet. From then on the identity is an accepted member of the organization. `profile` is what their provider says
    /// about them: its e-mail address is used if the invitation has none.
    ///
    /// # Errors
    /// Those of [`Invitations::open`]; [`Error::ProviderNotAllowed`] if the identity's provider is not configured for
    /// the organization; [`Error::AlreadyMember`] if the identity is a member, or, for a recovery, another member;
    /// [`Error::CapReached`] if the organization has too many members; [`Error::TooManyPermissions`];
    /// [`Error::TooMany`]; [`Error::Outage`].
    pub async fn redeem(
        &self,
        token: &str,
        identity: &Identity,
        profile: ProvidedProfile,
        origin: RequestContext,
    ) -> Result<RedeemedInvitation, Error> {
        self.redeem_opened(self.open(token).await?, identity, profile, origin).await
    }

    async fn redeem_opened(
        &self,
        opened: OpenedInvitation,
        identity: &Identity,
        profile: ProvidedProfile,
        origin: RequestContext,
    ) -> Result<RedeemedInvitation, Error> {
        let OpenedInvitation { invitation, organization } = opened;
        if !self.federation.allows(&identity.issuer, &organization) {
            return Err(Error::ProviderNotAllowed);
        }
        let kind = invitation.kind;
        let user = match invitation.user {
            Some(user) => {
                let context = self.context(&organization, user, Action::RedeemRecoveryLink, origin);
                self.ports.invitations.recover(&invitation, identity, &context).await?;
                user
            }
            None => self.join(&organization, &invitation, identity, profile, origin).await?,
        };
        Ok(RedeemedInvitation { kind, organization: organization.id, user })
    }

    /// Adds the person as a new member.
    async fn join(
        &self,
        organization: &Organization,
        invitation: &Invitation,
        identity: &Identity,
        profile: ProvidedProfile,
        origin: RequestContext,
    ) -> Result<UserId, Error> {
        let id = UserId::generate(&*self.ports.clock, &*self.ports.entropy);
        let context = self.context(organization, id, Action::RedeemInvitation, origin);
        let added = AuditContext { action: Action::AddMember, ..context.clone() };
        let user = User {
            id,
            organization: organization.id,
            name: invitation.name.clone(),
            email: invitation.email.clone().or(profile.email),
            permissions: invitation.permissions.clone(),
            sets: invitation.sets.clone(),
            origin: UserOrigin::IdentityProvider,
            created_at: context.at,
        };
        let new = NewUser { user, identity: Some(identity.clone()), joined_by: JoinedBy::Invitation };
        self.ports.invitations.redeem(invitation, new, &context, &added).await?;
        Ok(id)
    }

    fn context(
        &self,
        organization: &Organization,
        user: UserId,
        action: Action,
        origin: RequestContext,
    ) -> AuditContext {
        AuditContext {
            organization: organization.id,
            actor: Actor::User(user),
            action,
            permission: None,
            origin,
            at: self.ports.clock.now(),
        }
    }
}

/// Whether a caller who acts in `own` manages another organization, which only platform callers can. In the platform
/// organization itself their permissions bound them like other members.
fn is_platform_elsewhere(own: OrganizationId, managed: OrganizationId) -> bool {
    own != managed
}

/// Whether these permissions suffice to create a link that needs `needed`.
fn suffices(held: &EffectivePermissions, needed: &Permissions) -> bool {
    held.allows(&Permission::MEMBERS_ADMIN) && held.covers_part(needed, None)
}
