//! Reading and ending keys.

use super::Keys;
use crate::{
    act::Action,
    api_key::ApiKey,
    caller::{Authority, Caller},
    error::Error,
    id::KeyId,
    listing::{Listing, Start},
    ports::Profile,
    usage::{self, Period, Point},
};

impl Keys {
    /// One key (`None`: a text that names none).
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Outage`].
    pub async fn get(&self, authority: &Authority, key: Option<KeyId>) -> Result<ApiKey, Error> {
        let key = key.ok_or(Error::NotFound)?;
        self.ports.api_keys.find(authority.reach(), key).await?.ok_or(Error::NotFound)
    }

    /// At most `limit` keys of a list from `start` on.
    ///
    /// # Errors
    /// [`Error::Outage`].
    pub async fn list(
        &self,
        authority: &Authority,
        listing: &Listing,
        start: Start,
        limit: u64,
    ) -> Result<Vec<ApiKey>, Error> {
        Ok(self.ports.api_keys.list(authority.reach(), listing, start, limit).await?)
    }

    /// Ends a key (`None`: a text that names none). It is unknown from then on, and kept for a while. A caller may end any key in reach, their own too.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Outage`].
    pub async fn delete(&self, authority: &Authority, key: Option<KeyId>) -> Result<(), Error> {
        let deleted = self.delete_many(authority, key.into_iter().collect()).await?;
        if deleted.is_empty() { Err(Error::NotFound) } else { Ok(()) }
    }

    /// Ends all of these keys that are in reach, at once. Answers which.
    ///
    /// # Errors
    /// [`Error::Outage`].
    pub async fn delete_many(&self, authority: &Authority, keys: Vec<KeyId>) -> Result<Vec<KeyId>, Error> {
        let act = authority.act(Action::DeleteKey, self.now());
        Ok(self.ports.api_keys.delete(authority.reach(), keys, &act).await?)
    }

    /// Ends the keys in reach that are expired: all of them, or as many as there is time for. Answers how many; a second call
    /// goes on.
    ///
    /// # Errors
    /// [`Error::Outage`].
    pub async fn delete_expired(&self, authority: &Authority) -> Result<u64, Error> {
        let act = authority.act(Action::DeleteKey, self.now());
        Ok(self.ports.api_keys.delete_expired(authority.reach(), &act).await?)
    }

    /// How often a key (`None`: the whole organization) was verified, step by step.
    ///
    /// # Errors
    /// [`Error::Outage`].
    pub async fn usage(&self, authority: &Authority, key: Option<KeyId>, period: Period) -> Result<Vec<Point>, Error> {
        let counts = self.ports.usage_log.counts(authority.organization(), key, period).await?;
        Ok(usage::series(period, &counts))
    }

    /// The names behind the caller's key.
    ///
    /// # Errors
    /// [`Error::NoOrganization`]; [`Error::NotFound`] where the organization or user has gone since the caller was authenticated; [`Error::Outage`].
    pub async fn profile(&self, caller: &Caller) -> Result<Profile, Error> {
        self.ports.accounts.find_profile(caller.organization()?, caller.user()).await?.ok_or(Error::NotFound)
    }
}
