//! The first key of all: the platform organization and its root key, made by the operator on the machine itself.

use std::sync::Arc;

use crate::{
    act::{Act, Action, Actor, Origin},
    api_key::{ApiKey, Creator, KeyName},
    clock::{Clock, Entropy},
    error::Error,
    id::{KeyId, OrganizationId},
    organization::{Organization, OrganizationKind, OrganizationName},
    permission::PermissionSet,
    ports::{Accounts, ApiKeys},
    secret::{KeyPrefix, Secret},
};

/// The use case, with what it needs.
pub struct Bootstrap {
    accounts: Arc<dyn Accounts>,
    api_keys: Arc<dyn ApiKeys>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Bootstrap {
    /// The use case over these ports.
    #[must_use]
    pub fn new(
        accounts: Arc<dyn Accounts>,
        api_keys: Arc<dyn ApiKeys>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { accounts, api_keys, clock, entropy }
    }

    /// Makes the platform organization with a root key (`*:*`).
    ///
    /// # Errors
    /// [`Error::PlatformExists`], [`Error::Outage`].
    pub async fn first(&self) -> Result<Secret, Error> {
        let name = OrganizationName::parse("Platform").expect("a short plain name");
        let id = OrganizationId::generate(&*self.clock, &*self.entropy);
        let organization = Organization::new(id, Some(name), OrganizationKind::Platform, self.clock.now());
        let (key, secret) = self.root_key(id);
        let act = self.act(id, Action::Bootstrap);
        if self.accounts.create_platform(&organization, &key, &secret.hash(), &act).await? {
            Ok(secret)
        } else {
            Err(Error::PlatformExists)
        }
    }

    /// Makes another root key of the platform organization, for an operator who lost the first.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is no platform organization yet; [`Error::Outage`].
    pub async fn again(&self) -> Result<Secret, Error> {
        let platform = self.accounts.find_platform().await?.ok_or(Error::NotFound)?;
        let (key, secret) = self.root_key(platform);
        self.api_keys.create(vec![(key, secret.hash())], &self.act(platform, Action::CreateKey)).await?;
        Ok(secret)
    }

    fn act(&self, organization: OrganizationId, action: Action) -> Act {
        let (actor, origin, at) = (Actor::Operator, Origin::default(), self.clock.now());
        Act { organization, actor, action, permission: None, origin, at }
    }

    fn root_key(&self, organization: OrganizationId) -> (ApiKey, Secret) {
        let secret = Secret::generate(&KeyPrefix::standard(), &*self.entropy);
        let id = KeyId::generate(&*self.clock, &*self.entropy);
        let key = ApiKey {
            name: Some(KeyName::parse("root").expect("a short plain name")),
            permissions: PermissionSet::all(),
            ..ApiKey::new(id, organization, &secret, Creator::Operator, self.clock.now())
        };
        (key, secret)
    }
}
