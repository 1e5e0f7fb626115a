//! Accounts of people who sign in with a passkey: registration by an invitation, a recovery link or sign-up, further passkeys, and
//! signing in. An account is an identity of the built-in issuer ([`crate::auth::identity::PASSKEY_ISSUER`]), so that memberships,
//! sessions and recovery are those of any person.

use std::sync::Arc;

use crate::{
    audit::context::{Action, Actor, AuditContext, RequestContext},
    auth::{
        caller::Caller,
        federation::FederatedLogin,
        identity::VerifiedClaims,
        invitation::OpenedInvitation,
        invitations::Invitations,
        passkey::{CredentialId, MAX_PASSKEYS, Passkey, PasskeyName, UsedCeremony, VerifiedCredential},
        sign_up::{SignUp, SignUpService},
        step_up::require_fresh_sign_in,
    },
    clock::{Clock, Entropy},
    error::Error,
    id::{OrganizationId, PasskeyAccountId, PasskeyId, UserId},
    organizations::user::UserName,
    ports::{self, MergedEvent, ProvidedProfile},
};

/// How long a sign-in with a passkey lasts, in milliseconds: 30 days, which no session exceeds
/// ([`crate::auth::session::SessionLimits`]).
const SIGNED_IN_MS: i64 = 30 * 24 * 60 * 60 * 1_000;

/// The ports of [`Passkeys`].
#[derive(Clone)]
pub struct PasskeyPorts {
    /// The registered passkeys.
    pub passkeys: Arc<dyn ports::Passkeys>,
    /// Records registrations.
    pub audit_log: Arc<dyn ports::AuditLog>,
    /// The current time.
    pub clock: Arc<dyn Clock>,
    /// Random bytes for ids.
    pub entropy: Arc<dyn Entropy>,
}

/// What a new account is registered for.
#[derive(Debug)]
pub enum Purpose {
    /// To redeem the invitation or recovery link with this token.
    Invitation(String),
    /// To sign up, with a new organization.
    SignUp(SignUp),
}

/// A person who has just registered an account.
#[derive(Debug)]
pub struct RegisteredPerson {
    /// The person, as a caller who can open a session.
    pub caller: Caller,
    /// The organization.
    pub organization: OrganizationId,
    /// The person's user in the organization.
    pub user: UserId,
}

/// Registers, lists and removes passkeys, and signs people in with them.
pub struct Passkeys {
    federation: Arc<FederatedLogin>,
    invitations: Arc<Invitations>,
    sign_up: Arc<SignUpService>,
    ports: PasskeyPorts,
}

impl Passkeys {
    /// Creates the operations from these parts.
    #[must_use]
    pub fn new(
        federation: Arc<FederatedLogin>,
        invitations: Arc<Invitations>,
        sign_up: Arc<SignUpService>,
        ports: PasskeyPorts,
    ) -> Self {
        Self { federation, invitations, sign_up, ports }
    }

    /// The id of an account that is going to be registered.
    #[must_use]
    pub fn new_account(&self) -> PasskeyAccountId {
        PasskeyAccountId::random(&*self.ports.entropy)
    }

    /// The invitation or recovery link that an account is going to be registered for.
    ///
    /// # Errors
    /// Those of [`Invitations::open`].
    pub async fn open_invitation(&self, token: &str) -> Result<OpenedInvitation, Error> {
        self.invitations.open(token).await
    }

    /// The name of a caller, for their authenticator.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the user was removed meanwhile; [`Error::Outage`].
    pub async fn display_name(&self, caller: &Caller) -> Result<UserName, Error> {
        let Some(person) = caller.federated_user() else { return Ok(UserName::unnamed()) };
        Ok(self.federation.user(person).await?.map_or_else(UserName::unnamed, |user| user.name))
    }

    /// The account of a caller.
    ///
    /// # Errors
    /// [`Error::PasskeyAccountRequired`] for a key, and for a user of an identity provider.
    pub fn account(caller: &Caller) -> Result<PasskeyAccountId, Error> {
        let person = caller.federated_user().ok_or(Error::PasskeyAccountRequired)?;
        PasskeyAccountId::of(&person.claims.identity).ok_or(Error::PasskeyAccountRequired)
    }

    /// The passkeys of the caller's account, oldest first.
    ///
    /// # Errors
    /// [`Error::PasskeyAccountRequired`]; [`Error::Outage`].
    pub async fn list(&self, caller: &Caller) -> Result<Vec<Passkey>, Error> {
        Ok(self.ports.passkeys.list(Self::account(caller)?).await?)
    }

    /// The passkeys of the caller's account, if it may have another one.
    ///
    /// # Errors
    /// [`Error::PasskeyAccountRequired`]; [`Error::FreshSignInRequired`]; [`Error::TooManyPasskeys`]; [`Error::Outage`].
    pub async fn require_room(&self, caller: &Caller) -> Result<Vec<Passkey>, Error> {
        let passkeys = self.list(caller).await?;
        self.require_fresh_sign_in(caller)?;
        if passkeys.len() < MAX_PASSKEYS { Ok(passkeys) } else { Err(Error::TooManyPasskeys) }
    }

    /// Adds a passkey to the caller's account.
    ///
    /// # Errors
    /// [`Error::PasskeyAccountRequired`]; [`Error::PasskeyRejected`] if the credential was created for another account, is
    /// registered, or its ceremony was used; [`Error::FreshSignInRequired`]; [`Error::TooManyPasskeys`];
    /// [`Error::TooMany`]; [`Error::Outage`].
    pub async fn add(&self, caller: &Caller, new: VerifiedCredential, name: PasskeyName) -> Result<Passkey, Error> {
        if Self::account(caller)? != new.account {
            return Err(Error::PasskeyRejected);
        }
        self.require_fresh_sign_in(caller)?;
        let ceremony = new.ceremony;
        let passkey = self.passkey(new, name);
        let context = self.context(caller, Action::RegisterPasskey);
        self.ports.passkeys.register(&passkey, ceremony, context).await?;
        Ok(passkey)
    }

    /// Registers a new account with its first passkey, and makes it a user of an organization.
    ///
    /// # Errors
    /// [`Error::PasskeyRejected`] as in [`Passkeys::add`]; those of [`Invitations::redeem`]; [`Error::EmailTaken`]. Then the
    /// passkey is not registered, except after an [`Error::Outage`], which may hide that the account is a user now.
    pub async fn register(
        &self,
        new: VerifiedCredential,
        name: PasskeyName,
        purpose: Purpose,
        origin: RequestContext,
    ) -> Result<RegisteredPerson, Error> {
        if let Purpose::Invitation(token) = &purpose {
            self.invitations.open(token).await?;
        }
        let (account, ceremony) = (new.account, new.ceremony);
        let passkey = self.passkey(new, name);
        self.ports.passkeys.register(&passkey, ceremony, None).await?;
        let identity = account.identity();
        let joined = match purpose {
            Purpose::Invitation(token) => {
                let profile = ProvidedProfile::default();
                let redeemed = self.invitations.redeem(&token, &identity, profile, origin.clone()).await;
                redeemed.map(|redeemed| (redeemed.organization, redeemed.user))
            }
            Purpose::SignUp(sign_up) => {
                let user = self.sign_up.sign_up_person(sign_up, &identity, origin.clone()).await;
                user.map(|user| (user.organization, user.id))
            }
        };
        let (organization, user) = match joined {
            Ok(joined) => joined,
            Err(error @ Error::Outage(_)) => return Err(error),
            Err(error) => {
                self.ports.passkeys.discard(account).await?;
                return Err(error);
            }
        };
        let context = AuditContext {
            organization,
            actor: Actor::User(user),
            action: Action::RegisterPasskey,
            permission: None,
            origin: origin.clone(),
            at: passkey.created_at,
        };
        self.ports.audit_log.record_merged(MergedEvent::done(context, passkey.id.uuid()));
        Ok(RegisteredPerson { caller: self.caller(account, origin).await?, organization, user })
    }

    /// The passkey with this credential.
    ///
    /// # Errors
    /// [`Error::PasskeyRejected`] if it is not registered; [`Error::Outage`].
    pub async fn find(&self, credential: &CredentialId) -> Result<Passkey, Error> {
        self.ports.passkeys.find(credential).await?.ok_or(Error::PasskeyRejected)
    }

    /// Signs in with a passkey whose signature was verified. `state` is its new state.
    ///
    /// # Errors
    /// [`Error::PasskeyRejected`] if the ceremony was used, or the passkey was removed or used meanwhile;
    /// [`Error::UnknownPerson`] if the account was never a user of an organization; [`Error::Outage`].
    pub async fn sign_in(
        &self,
        passkey: &Passkey,
        state: Vec<u8>,
        ceremony: UsedCeremony,
        origin: RequestContext,
    ) -> Result<Caller, Error> {
        self.ports.passkeys.record_use(passkey, state, ceremony, self.ports.clock.now()).await?;
        self.caller(passkey.account, origin).await
    }

    /// Renames a passkey of the caller's account (`None`: the request has no valid id).
    ///
    /// # Errors
    /// [`Error::PasskeyAccountRequired`]; [`Error::NotFound`]; [`Error::TooMany`]; [`Error::Outage`].
    pub async fn rename(&self, caller: &Caller, id: Option<PasskeyId>, name: PasskeyName) -> Result<Passkey, Error> {
        let (account, id) = (Self::account(caller)?, id.ok_or(Error::NotFound)?);
        self.ports.passkeys.rename(account, id, name, self.context(caller, Action::RenamePasskey)).await
    }

    /// Removes a passkey of the caller's account (`None`: the request has no valid id). Sessions stay valid.
    ///
    /// # Errors
    /// [`Error::PasskeyAccountRequired`]; [`Error::FreshSignInRequired`]; [`Error::NotFound`]; [`Error::LastPasskey`];
    /// [`Error::Outage`].
    pub async fn remove(&self, caller: &Caller, id: Option<PasskeyId>) -> Result<(), Error> {
        let account = Self::account(caller)?;
        self.require_fresh_sign_in(caller)?;
        let id = id.ok_or(Error::NotFound)?;
        self.ports.passkeys.remove(account, id, self.context(caller, Action::RemovePasskey)).await
    }

    /// With a passkey of their own, a thief of a session could sign in permanently.
    fn require_fresh_sign_in(&self, caller: &Caller) -> Result<(), Error> {
        require_fresh_sign_in(caller, self.ports.clock.now())
    }

    /// The person of an account, who has just proved that they have one of its passkeys.
    async fn caller(&self, account: PasskeyAccountId, origin: RequestContext) -> Result<Caller, Error> {
        let now = self.ports.clock.now();
        let claims = VerifiedClaims {
            identity: account.identity(),
            name: None,
            email: None,
            organization: None,
            permissions: None,
            signed_in_at: Some(now),
            expires_at: now.plus_millis(SIGNED_IN_MS),
        };
        let caller = self.federation.login(claims, origin.clone()).await?;
        Ok(Caller { origin, ..caller })
    }

    fn passkey(&self, new: VerifiedCredential, name: PasskeyName) -> Passkey {
        Passkey {
            id: PasskeyId::generate(&*self.ports.clock, &*self.ports.entropy),
            account: new.account,
            credential: new.credential,
            public_key: new.public_key,
            state: new.state,
            name,
            created_at: self.ports.clock.now(),
            last_used_at: None,
        }
    }

    /// The audit event of a change, in the log of the person's current organization, if there is one.
    fn context(&self, caller: &Caller, action: Action) -> Option<AuditContext> {
        let organization = caller.organization().ok()?;
        Some(caller.audit_context(organization, action, None, self.ports.clock.now()))
    }
}
