//! Creating keys. A caller cannot grant more than they have.

use super::{Keys, SuppliedSecret, checks::Checks, supplied_secret::NewSecret};
use crate::{
    audit::context::Action,
    auth::caller::Authority,
    error::Error,
    id::{KeyId, UserId},
    keys::{
        api_key::ApiKey,
        secret::{KeyPrefix, Secret, SecretHash},
        settings::{KeySettings, KeySettingsPatch},
    },
};

/// The owner of a new key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The organization. The caller's user, if the caller can access only the keys of that user.
    Organization,
    /// The caller's user. The organization, if the caller's key belongs to no user.
    Caller,
    /// This user. `None`: the request has no valid id.
    User(Option<UserId>),
}

/// A key to create.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// The owner.
    pub owner: Owner,
    /// The prefix of the secret. `None`: that of the key policy, or the default one.
    pub prefix: Option<KeyPrefix>,
    /// The settings that differ from the defaults. By default, a new key has the expiry and the IP allowlist of the key
    /// that creates it, and can manage this service if that is the default of the organization.
    pub settings: KeySettingsPatch,
}

impl Keys {
    /// Creates a key. Returns it with its secret, which cannot be read again.
    ///
    /// # Errors
    /// [`Error::UserNotFound`] if the owner is not a member; [`Error::SetNotFound`]; [`Error::CapReached`];
    /// [`Error::TooManyPermissions`]; [`Error::ExceedsPermissions`] if the key would have permissions that the caller or its
    /// owner does not have; [`Error::FreshSignInRequired`] if it would have all permissions; [`Error::ExceedsExpiry`] if
    /// the key would expire later than the caller's; [`Error::ExceedsAddresses`]; [`Error::NeverValid`];
    /// [`Error::KeyPolicyViolated`]; [`Error::Outage`].
    pub async fn create(&self, authority: &Authority, new: NewKey) -> Result<(ApiKey, Secret), Error> {
        let made = self.make(&mut Checks::new(self, authority), new).await?;
        let context = authority.audit_context(Action::CreateKey, self.now());
        self.ports.api_keys.create(vec![(made.0.clone(), made.1.hash())], &context).await?;
        Ok(made)
    }

    /// As [`Keys::create`], for a customer of the organization who may have `max_keys`, as
    /// [`crate::ports::ApiKeys::create_for_customer`] counts them.
    ///
    /// # Errors
    /// The same as for [`Keys::create`].
    pub(crate) async fn create_for_customer(
        &self,
        authority: &Authority,
        new: NewKey,
        max_keys: u64,
    ) -> Result<(ApiKey, Secret), Error> {
        let made = self.make(&mut Checks::new(self, authority), new).await?;
        let context = authority.audit_context(Action::CreateKey, self.now());
        self.ports.api_keys.create_for_customer((made.0.clone(), made.1.hash()), max_keys, &context).await?;
        Ok(made)
    }

    /// Creates all of these keys, or none of them. A key with a supplied secret has its prefix, and is returned without
    /// a secret; if it was created before, it is returned unchanged.
    ///
    /// # Errors
    /// The same as for [`Keys::create`], for any of the keys. With supplied secrets also [`Error::SecretInUse`];
    /// [`Error::Forbidden`] if a key format is new to the organization and the caller does not have `org:admin`;
    /// [`Error::TooManyKeyFormats`].
    pub async fn create_many(
        &self,
        authority: &Authority,
        new: Vec<(NewKey, Option<SuppliedSecret>)>,
    ) -> Result<Vec<(ApiKey, Option<Secret>)>, Error> {
        let mut checks = Checks::new(self, authority);
        let mut made = Vec::with_capacity(new.len());
        for (new, supplied) in new {
            made.push(match supplied {
                None => {
                    let (key, secret) = self.make(&mut checks, new).await?;
                    (key, NewSecret::Generated(secret))
                }
                Some(supplied) => {
                    let new = NewKey { prefix: Some(supplied.key_format.key_prefix()), ..new };
                    let key = self.make_for(&mut checks, new, supplied.start.clone()).await?;
                    checks.require_policies(&key).await?;
                    (key, NewSecret::Supplied(supplied))
                }
            });
        }
        let context = authority.audit_context(Action::CreateKey, self.now());
        let hashes: Option<Vec<(ApiKey, SecretHash)>> =
            made.iter().map(|(key, secret)| Some((key.clone(), secret.generated()?.hash()))).collect();
        let Some(hashes) = hashes else {
            return self.store_with_supplied(authority, made, &context).await;
        };
        self.ports.api_keys.create(hashes, &context).await?;
        Ok(made.into_iter().map(|(key, secret)| (key, secret.into_generated())).collect())
    }

    /// Prepares a key and its secret, without storing them.
    async fn make(&self, checks: &mut Checks<'_>, new: NewKey) -> Result<(ApiKey, Secret), Error> {
        let key = self.make_for(checks, new, String::new()).await?;
        checks.require_policies(&key).await?;
        let secret = Secret::generate(&key.prefix, &*self.ports.entropy);
        Ok((ApiKey { start: secret.start().to_owned(), ..key }, secret))
    }

    /// Prepares a key whose secret has this start, without storing it. Whether it keeps the policies is not checked.
    pub(super) async fn make_for(&self, checks: &mut Checks<'_>, new: NewKey, start: String) -> Result<ApiKey, Error> {
        let authority = checks.authority();
        let caller = authority.caller();
        let user = match new.owner {
            Owner::Organization => authority.scope().user,
            Owner::Caller => caller.user(),
            Owner::User(user) => Some(user.ok_or(Error::UserNotFound)?),
        };
        if authority.scope().user.is_some_and(|own| user != Some(own)) {
            return Err(Error::UserNotFound);
        }
        let defaults = KeySettings {
            can_manage: checks.can_manage(new.settings.can_manage).await?,
            expires_at: caller.expires_at(),
            addresses: caller.addresses().cloned(),
            ..KeySettings::default()
        };
        let mut settings = new.settings.apply(&defaults, self.now())?;
        checks.require_grantable(user, &settings.permissions, &settings.sets).await?;
        caller.require_validity(settings.expires_at, settings.addresses.as_ref())?;
        settings.require_period()?;
        let policies = checks.policies(&settings.sets).await?;
        if new.settings.can_manage.is_none() {
            settings.can_manage &= policies.can_manage();
        }
        let prefix = new.prefix.or_else(|| policies.prefix().cloned()).unwrap_or_else(KeyPrefix::default_prefix);
        let id = KeyId::generate(&*self.ports.clock, &*self.ports.entropy);
        let created_by = caller.creator();
        Ok(ApiKey {
            user,
            settings,
            ..ApiKey::beginning_with(id, authority.organization(), (prefix, start), created_by, self.now())
        })
    }
}
