//! Sign-up: a name and an e-mail address become a user, an organization of their own, and its first key.

use std::sync::Arc;

use crate::{
    act::{Act, Action, Actor, Origin},
    api_key::{ApiKey, Creator},
    clock::{Clock, Entropy},
    error::Error,
    id::{KeyId, OrganizationId, UserId},
    organization::{Organization, OrganizationKind, OrganizationName},
    permission::PermissionSet,
    ports::{Accounts, Enrolment},
    secret::{KeyPrefix, Secret},
    user::{Contact, Email, Membership, User, UserName},
};

/// What a person gives to sign up.
#[derive(Debug)]
pub struct SignUp {
    /// Their name.
    pub user_name: UserName,
    /// Their address.
    pub email: Email,
    /// What to call their organization. A name that exists elsewhere joins nothing.
    pub organization_name: Option<OrganizationName>,
}

/// The use case, with what it needs.
pub struct Enroll {
    accounts: Arc<dyn Accounts>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Enroll {
    /// The use case over these ports.
    #[must_use]
    pub fn new(accounts: Arc<dyn Accounts>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { accounts, clock, entropy }
    }

    /// Makes the user, their organization, and a key with `*:*` there that belongs to them.
    ///
    /// # Errors
    /// [`Error::EmailTaken`], [`Error::Outage`].
    pub async fn enroll(&self, sign_up: SignUp, origin: Origin) -> Result<(Enrolment, Secret), Error> {
        let now = self.clock.now();
        let (clock, entropy) = (&*self.clock, &*self.entropy);
        let user = User {
            id: UserId::generate(clock, entropy),
            name: sign_up.user_name,
            contact: Contact::Own(sign_up.email),
            created_at: now,
        };
        let id = OrganizationId::generate(clock, entropy);
        let organization = Organization::new(id, sign_up.organization_name, OrganizationKind::Tenant, now);
        let membership = Membership {
            organization: organization.id,
            user: user.id,
            permissions: PermissionSet::all(),
            sets: Vec::new(),
            created_at: now,
        };
        let secret = Secret::generate(&KeyPrefix::sign_up(), entropy);
        let id = KeyId::generate(clock, entropy);
        let key = ApiKey {
            user: Some(user.id),
            permissions: PermissionSet::all(),
            ..ApiKey::new(id, organization.id, &secret, Creator::User(user.id), now)
        };
        let (actor, action) = (Actor::User(user.id), Action::SignUp);
        let act = Act { organization: organization.id, actor, action, permission: None, origin, at: now };
        let enrolment = Enrolment { user, organization, membership, key };
        if self.accounts.enroll(&enrolment, &secret.hash(), &act).await? {
            Ok((enrolment, secret))
        } else {
            Err(Error::EmailTaken)
        }
    }
}
