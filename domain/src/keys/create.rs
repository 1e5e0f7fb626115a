//! Creating keys. A caller cannot grant more than they have.

use super::{
    Keys, SuppliedSecret,
    checks::Checks,
    supplied_secret::{CreatedKeys, NewSecret},
};
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
    optimistic::until_stored,
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
    /// [`Error::KeyPolicyViolated`]; [`Error::ConcurrentChanges`]; [`Error::Outage`].
    pub async fn create(&self, authority: &Authority, new: NewKey) -> Result<(ApiKey, Secret), Error> {
        self.create_one(authority, &new, None).await
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
        self.create_one(authority, &new, Some(max_keys)).await
    }

    /// Creates one key. `max_keys`: the most keys that its customer may have; `None`: any number.
    async fn create_one(
        &self,
        authority: &Authority,
        new: &NewKey,
        max_keys: Option<u64>,
    ) -> Result<(ApiKey, Secret), Error> {
        until_stored(|| async {
            let mut checks = Checks::new(self, authority);
            let (key, secret) = self.make(&mut checks, new).await?;
            let (checked, stored) = (checks.into_checked(), (key.clone(), secret.hash()));
            let context = authority.audit_context(Action::CreateKey, self.now());
            let api_keys = &self.ports.api_keys;
            let is_stored = match max_keys {
                None => api_keys.create(vec![stored], checked, &context).await?,
                Some(max_keys) => api_keys.create_for_customer(stored, max_keys, checked, &context).await?,
            };
            Ok(is_stored.then_some((key, secret)))
        })
        .await
    }

    /// As [`Keys::create_many`], for one key.
    ///
    /// # Errors
    /// The same as for [`Keys::create_many`], but [`Error::KeyPolicyViolated`] as for [`Keys::create`].
    pub async fn create_with(
        &self,
        authority: &Authority,
        new: NewKey,
        supplied: Option<SuppliedSecret>,
    ) -> Result<(ApiKey, Option<Secret>), Error> {
        match self.create_many(authority, vec![(new, supplied)]).await {
            Err(Error::ListedKeyViolatesPolicy(_, broken)) => Err(Error::KeyPolicyViolated(broken)),
            created => Ok(created?.pop().expect("as many as requested")),
        }
    }

    /// Creates all of these keys, or none of them. A key with a supplied secret has its prefix, and is returned without
    /// a secret; if it was created before, it is returned unchanged.
    ///
    /// # Errors
    /// The same as for [`Keys::create`], for any of the keys, but [`Error::ListedKeyViolatesPolicy`] with the first key that
    /// breaks a policy. With supplied secrets also [`Error::SecretInUse`];
    /// [`Error::Forbidden`] if a key format is new to the organization and the caller does not have `org:admin`;
    /// [`Error::TooManyKeyFormats`].
    pub async fn create_many(
        &self,
        authority: &Authority,
        new: Vec<(NewKey, Option<SuppliedSecret>)>,
    ) -> Result<Vec<(ApiKey, Option<Secret>)>, Error> {
        until_stored(|| self.try_create_many(authority, &new)).await
    }

    /// `None`: what the keys were checked against has changed meanwhile, and nothing was stored.
    async fn try_create_many(
        &self,
        authority: &Authority,
        new: &[(NewKey, Option<SuppliedSecret>)],
    ) -> Result<Option<CreatedKeys>, Error> {
        let mut checks = Checks::new(self, authority);
        let mut made = Vec::with_capacity(new.len());
        for (index, (new, supplied)) in new.iter().enumerate() {
            let one = match supplied {
                None => self.make(&mut checks, new).await.map(|(key, secret)| (key, NewSecret::Generated(secret))),
                Some(supplied) => {
                    let prefix = Some(supplied.key_format.key_prefix());
                    let key = self.make_for(&mut checks, new, prefix, supplied.start.clone()).await?;
                    checks.require_policies(&key).await.map(|()| (key, NewSecret::Supplied(supplied.clone())))
                }
            };
            made.push(one.map_err(|error| error.of_listed_key(index))?);
        }
        let checked = checks.into_checked();
        let context = authority.audit_context(Action::CreateKey, self.now());
        let hashes: Option<Vec<(ApiKey, SecretHash)>> =
            made.iter().map(|(key, secret)| Some((key.clone(), secret.generated()?.hash()))).collect();
        let Some(hashes) = hashes else {
            return self.store_with_supplied(authority, made, checked, &context).await;
        };
        let is_stored = self.ports.api_keys.create(hashes, checked, &context).await?;
        Ok(is_stored.then(|| made.into_iter().map(|(key, secret)| (key, secret.into_generated())).collect()))
    }

    /// Prepares a key and its secret, without storing them.
    async fn make(&self, checks: &mut Checks<'_>, new: &NewKey) -> Result<(ApiKey, Secret), Error> {
        let key = self.make_for(checks, new, new.prefix.clone(), String::new()).await?;
        checks.require_policies(&key).await?;
        let secret = Secret::generate(&key.prefix, &*self.ports.entropy);
        Ok((ApiKey { start: secret.start().to_owned(), ..key }, secret))
    }

    /// Prepares a key whose secret has this prefix (`None`: that of the policies, or the default one) and this start, without
    /// storing it. Whether it keeps the policies is not checked.
    pub(super) async fn make_for(
        &self,
        checks: &mut Checks<'_>,
        new: &NewKey,
        prefix: Option<KeyPrefix>,
        start: String,
    ) -> Result<ApiKey, Error> {
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
        let prefix = prefix.or_else(|| policies.prefix().cloned()).unwrap_or_else(KeyPrefix::default_prefix);
        let id = KeyId::generate(&*self.ports.clock, &*self.ports.entropy);
        let created_by = caller.creator();
        Ok(ApiKey {
            user,
            settings,
            ..ApiKey::beginning_with(id, authority.organization(), (prefix, start), created_by, self.now())
        })
    }
}
