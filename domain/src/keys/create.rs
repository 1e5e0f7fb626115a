//! Making a key, by a caller who hands out no more than they hold.

use super::{Keys, checks::Checks};
use crate::{
    act::Action,
    addresses::AddressList,
    api_key::{ApiKey, KeyName, Metadata},
    caller::Authority,
    clock::Timestamp,
    error::Error,
    id::{KeyId, SetId, UserId},
    organization::ExternalId,
    permission::PermissionSet,
    quota::Quota,
    secret::{KeyPrefix, Secret},
};

/// Whom a new key belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The organization itself.
    Organization,
    /// The caller's user, where the caller's key has one, else the organization.
    Caller,
    /// This user (`None`: a text that names none).
    User(Option<UserId>),
}

/// What the maker of a key decides.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Whom it belongs to.
    pub owner: Owner,
    /// Its name.
    pub name: Option<KeyName>,
    /// What stands in front of its secret.
    pub prefix: KeyPrefix,
    /// What it may do.
    pub permissions: PermissionSet,
    /// And what these sets give.
    pub sets: Vec<SetId>,
    /// What the operator's own system calls it.
    pub external_id: Option<ExternalId>,
    /// When it ends. `None`: when the key that makes it ends, if ever.
    pub expires_at: Option<Timestamp>,
    /// Before when it is not in use yet.
    pub not_before: Option<Timestamp>,
    /// From where it may be used. `None`: from where the key that makes it may.
    pub addresses: Option<AddressList>,
    /// What to keep with it.
    pub metadata: Option<Metadata>,
    /// Its limits. A refill without `remaining` starts `remaining` at the refill's amount.
    pub quota: Quota,
}

impl Keys {
    /// Makes a key. The secret is in this return value and nowhere else.
    ///
    /// # Errors
    /// [`Error::UserNotFound`] where the owner is no member; [`Error::SetNotFound`]; [`Error::CapReached`];
    /// [`Error::TooManyPermissions`]; [`Error::ExceedsGrants`] where the caller does not hold what the key would, or its owner
    /// does not; [`Error::ExceedsExpiry`] where the key would outlive the caller's own;
    /// [`Error::ExceedsAddresses`]; [`Error::NeverValid`];
    /// [`Error::Outage`].
    pub async fn create(&self, authority: &Authority, new: NewKey) -> Result<(ApiKey, Secret), Error> {
        let made = self.make(&mut Checks::new(self, authority), new).await?;
        let act = authority.act(Action::CreateKey, self.now());
        self.ports.api_keys.create(vec![(made.0.clone(), made.1.hash())], &act).await?;
        Ok(made)
    }

    /// Makes all of these keys or none.
    ///
    /// # Errors
    /// Those of [`Keys::create`], for any of the keys.
    pub async fn create_many(&self, authority: &Authority, new: Vec<NewKey>) -> Result<Vec<(ApiKey, Secret)>, Error> {
        let mut checks = Checks::new(self, authority);
        let mut made = Vec::with_capacity(new.len());
        for new in new {
            made.push(self.make(&mut checks, new).await?);
        }
        let keys = made.iter().map(|(key, secret)| (key.clone(), secret.hash())).collect();
        self.ports.api_keys.create(keys, &authority.act(Action::CreateKey, self.now())).await?;
        Ok(made)
    }

    /// A key that is not stored yet, with its secret.
    async fn make(&self, checks: &mut Checks<'_>, new: NewKey) -> Result<(ApiKey, Secret), Error> {
        let secret = Secret::generate(&new.prefix, &*self.ports.entropy);
        let start = secret.start().to_owned();
        Ok((self.make_for(checks, new, start).await?, secret))
    }

    /// A key that is not stored yet, whose secret begins like this.
    pub(super) async fn make_for(&self, checks: &mut Checks<'_>, new: NewKey, start: String) -> Result<ApiKey, Error> {
        let authority = checks.authority();
        let caller = authority.caller();
        let user = match new.owner {
            Owner::Organization => None,
            Owner::Caller => caller.user(),
            Owner::User(user) => Some(user.ok_or(Error::UserNotFound)?),
        };
        if authority.reach().user.is_some_and(|own| user != Some(own)) {
            return Err(Error::UserNotFound);
        }
        checks.require_grantable(user, &new.permissions, &new.sets).await?;
        // None given: that of what the caller shows.
        let expires_at = new.expires_at.or_else(|| caller.expires_at());
        caller.require_end(expires_at)?;
        let addresses = new.addresses.or_else(|| caller.addresses().cloned());
        caller.require_within(addresses.as_ref())?;
        if new.not_before.zip(expires_at).is_some_and(|(begin, end)| begin >= end) {
            return Err(Error::NeverValid);
        }
        let mut quota = new.quota;
        if let (Some(refill), None) = (quota.refill, quota.remaining) {
            quota.remaining = Some(refill.amount);
        }
        let id = KeyId::generate(&*self.ports.clock, &*self.ports.entropy);
        let created_by = caller.creator();
        Ok(ApiKey {
            user,
            name: new.name,
            not_before: new.not_before,
            expires_at,
            addresses,
            metadata: new.metadata,
            permissions: new.permissions,
            sets: new.sets,
            external_id: new.external_id,
            quota,
            ..ApiKey::beginning_with(id, authority.organization(), (new.prefix, start), created_by, self.now())
        })
    }
}
