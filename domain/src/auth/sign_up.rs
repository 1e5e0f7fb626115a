//! Sign-up: creates an organization and its first user, with a key or with an identity to sign in with.

use std::sync::Arc;

use crate::{
    audit::context::{Action, Actor, AuditContext, RequestContext},
    clock::{Clock, Entropy},
    error::Error,
    id::{Identity, KeyId, OrganizationId, UserId},
    keys::{
        api_key::{ApiKey, Creator},
        secret::{KeyPrefix, Secret},
        settings::KeySettings,
    },
    organizations::{
        organization::{Organization, OrganizationKind, OrganizationName},
        user::{Email, User, UserName, UserOrigin},
    },
    permissions::Permissions,
    ports::{Accounts, SignedUp},
};

/// The data of a sign-up request.
#[derive(Debug)]
pub struct SignUp {
    /// The display name of the user.
    pub user_name: UserName,
    /// The e-mail address of the user. It must not belong to another user who has signed up.
    pub email: Email,
    /// The name of the new organization. Names are not unique: an existing organization with the same name is not
    /// joined. `None`: it gets no name.
    pub organization_name: Option<OrganizationName>,
}

/// Signs users up.
pub struct SignUpService {
    accounts: Arc<dyn Accounts>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl SignUpService {
    /// Creates the operation from these ports.
    #[must_use]
    pub fn new(accounts: Arc<dyn Accounts>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { accounts, clock, entropy }
    }

    /// Creates the user, their organization, and a key with `*:*` that belongs to the user. Returns them with the
    /// secret of the key.
    ///
    /// # Errors
    /// [`Error::EmailTaken`]; [`Error::Outage`].
    pub async fn sign_up(&self, sign_up: SignUp, origin: RequestContext) -> Result<(SignedUp, Secret), Error> {
        let (organization, user) = self.create(sign_up);
        let (clock, entropy, now) = (&*self.clock, &*self.entropy, user.created_at);
        let secret = Secret::generate(&KeyPrefix::sign_up(), entropy);
        let id = KeyId::generate(clock, entropy);
        let key = ApiKey {
            user: Some(user.id),
            settings: KeySettings { permissions: Permissions::all(), ..KeySettings::default() },
            ..ApiKey::new(id, organization.id, &secret, Creator::User(user.id), now)
        };
        let context = context(&user, origin);
        let signed_up = SignedUp { user, organization, key };
        if self.accounts.sign_up(&signed_up, &secret.hash(), &context).await? {
            Ok((signed_up, secret))
        } else {
            Err(Error::EmailTaken)
        }
    }

    /// Creates the organization and its first user, who has all permissions (`*`), signs in with this identity, and has no
    /// key.
    ///
    /// # Errors
    /// [`Error::EmailTaken`]; [`Error::Outage`].
    pub async fn sign_up_person(
        &self,
        sign_up: SignUp,
        identity: &Identity,
        origin: RequestContext,
    ) -> Result<User, Error> {
        let (organization, user) = self.create(sign_up);
        let context = context(&user, origin);
        let is_new = self.accounts.sign_up_person(&organization, &user, identity, &context).await?;
        if is_new { Ok(user) } else { Err(Error::EmailTaken) }
    }

    /// The organization and the user of a sign-up.
    fn create(&self, sign_up: SignUp) -> (Organization, User) {
        let (clock, entropy, now) = (&*self.clock, &*self.entropy, self.clock.now());
        let id = OrganizationId::generate(clock, entropy);
        let organization = Organization::new(id, sign_up.organization_name, OrganizationKind::Tenant, now);
        let user = User {
            id: UserId::generate(clock, entropy),
            organization: organization.id,
            name: sign_up.user_name,
            email: Some(sign_up.email),
            permissions: Permissions::all(),
            sets: Vec::new(),
            origin: UserOrigin::SignUp,
            created_at: now,
        };
        (organization, user)
    }
}

fn context(user: &User, origin: RequestContext) -> AuditContext {
    AuditContext {
        organization: user.organization,
        actor: Actor::User(user.id),
        action: Action::SignUp,
        permission: None,
        origin,
        at: user.created_at,
    }
}
