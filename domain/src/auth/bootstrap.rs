//! Bootstrapping: creates the platform organization and its root key, from the command line.

use std::sync::Arc;

use crate::{
    audit::context::{Action, Actor, AuditContext, RequestContext},
    clock::{Clock, Entropy},
    error::Error,
    id::{KeyId, OrganizationId},
    keys::{
        api_key::{ApiKey, Creator, KeyName},
        secret::{KeyPrefix, Secret},
        settings::KeySettings,
    },
    organizations::organization::{Organization, OrganizationKind, OrganizationName},
    permissions::Permissions,
    ports::{Accounts, ApiKeys},
};

/// Creates the platform organization and root keys.
pub struct Bootstrap {
    accounts: Arc<dyn Accounts>,
    api_keys: Arc<dyn ApiKeys>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Bootstrap {
    /// Creates the operations from these ports.
    #[must_use]
    pub fn new(
        accounts: Arc<dyn Accounts>,
        api_keys: Arc<dyn ApiKeys>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { accounts, api_keys, clock, entropy }
    }

    /// Creates the platform organization with a root key (`*:*`). Returns the secret of the key.
    ///
    /// # Errors
    /// [`Error::PlatformExists`]; [`Error::Outage`].
    pub async fn create_platform(&self) -> Result<Secret, Error> {
        let name = OrganizationName::parse("Platform").expect("a valid name");
        let id = OrganizationId::generate(&*self.clock, &*self.entropy);
        let organization = Organization::new(id, Some(name), OrganizationKind::Platform, self.clock.now());
        let (key, secret) = self.root_key(id);
        let context = self.audit_context(id, Action::Bootstrap);
        if self.accounts.create_platform(&organization, &key, &secret.hash(), &context).await? {
            Ok(secret)
        } else {
            Err(Error::PlatformExists)
        }
    }

    /// Creates another root key of the platform organization, if the first one is lost. Returns its
    /// secret.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no platform organization; [`Error::Outage`].
    pub async fn create_root_key(&self) -> Result<Secret, Error> {
        let platform = self.accounts.find_platform().await?.ok_or(Error::NotFound)?;
        let (key, secret) = self.root_key(platform);
        let context = self.audit_context(platform, Action::CreateKey);
        // No key policy applies to it.
        self.api_keys.create(vec![(key, secret.hash())], None, &context).await?;
        Ok(secret)
    }

    fn audit_context(&self, organization: OrganizationId, action: Action) -> AuditContext {
        let (actor, origin, at) = (Actor::Operator, RequestContext::default(), self.clock.now());
        AuditContext { organization, actor, action, permission: None, origin, at }
    }

    fn root_key(&self, organization: OrganizationId) -> (ApiKey, Secret) {
        let secret = Secret::generate(&KeyPrefix::default_prefix(), &*self.entropy);
        let id = KeyId::generate(&*self.clock, &*self.entropy);
        let key = ApiKey {
            settings: KeySettings {
                name: Some(KeyName::parse("root").expect("a valid name")),
                permissions: Permissions::all(),
                ..KeySettings::default()
            },
            ..ApiKey::new(id, organization, &secret, Creator::Operator, self.clock.now())
        };
        (key, secret)
    }
}
