//! Making a key for an organization, by a caller who hands out no more than they hold.

use super::Keys;
use crate::{
    api_key::{ApiKey, Creator, KeyName, Metadata},
    caller::{Authority, Caller},
    clock::Timestamp,
    error::Error,
    grants::Grants,
    id::KeyId,
    permission::PermissionSet,
    secret::{KeyPrefix, Secret},
};

/// What the maker of a key decides.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Its name.
    pub name: Option<KeyName>,
    /// What stands in front of its secret.
    pub prefix: KeyPrefix,
    /// What it may do.
    pub permissions: PermissionSet,
    /// When it ends. `None`: when the key that makes it ends, if ever.
    pub expires_at: Option<Timestamp>,
    /// What to keep with it.
    pub metadata: Option<Metadata>,
}

impl Keys {
    /// Makes a key that belongs to the organization itself. The secret is in this return value and nowhere else.
    ///
    /// # Errors
    /// [`Error::ExceedsGrants`] where the caller does not hold what the key would; [`Error::ExceedsExpiry`] where the key
    /// would outlive the caller's own; [`Error::Outage`].
    pub async fn create(&self, authority: &Authority, new: NewKey) -> Result<(ApiKey, Secret), Error> {
        let caller = authority.caller();
        let grants = Grants::of_organization(new.permissions.clone());
        if !caller.grants.covers(&grants) {
            return Err(Error::ExceedsGrants);
        }
        let expires_at = bounded_expiry(caller, new.expires_at)?;
        let now = self.clock.now();
        let secret = Secret::generate(&new.prefix, &*self.entropy);
        let key = ApiKey {
            id: KeyId::generate(&*self.clock, &*self.entropy),
            organization: authority.organization(),
            user: None,
            name: new.name,
            prefix: new.prefix,
            start: secret.start().to_owned(),
            enabled: true,
            expires_at,
            metadata: new.metadata,
            permissions: new.permissions,
            created_by: Creator::Key(caller.key.id),
            created_at: now,
            updated_at: now,
        };
        self.api_keys.create(&key, &secret.hash()).await?;
        Ok((key, secret))
    }
}

/// The expiry of a key that `caller` makes: never later than that of the caller's own key.
fn bounded_expiry(caller: &Caller, wanted: Option<Timestamp>) -> Result<Option<Timestamp>, Error> {
    match (caller.key.expires_at, wanted) {
        (Some(own), Some(wanted)) if wanted > own => Err(Error::ExceedsExpiry),
        (own, None) => Ok(own),
        (_, wanted) => Ok(wanted),
    }
}
