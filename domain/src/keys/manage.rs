//! Reading and ending keys.

use super::Keys;
use crate::{
    api_key::ApiKey,
    caller::{Authority, Caller},
    error::Error,
    id::KeyId,
    ports::{Position, Profile},
};

impl Keys {
    /// At most `limit` keys of the organization after `after`, oldest first.
    ///
    /// # Errors
    /// [`Error::Outage`].
    pub async fn list(&self, authority: &Authority, after: Option<Position>, limit: u64) -> Result<Vec<ApiKey>, Error> {
        Ok(self.api_keys.list(authority.organization(), after, limit).await?)
    }

    /// Ends a key for good (`None`: a text that names none). A caller may end any key of the organization, their own too.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Outage`].
    pub async fn delete(&self, authority: &Authority, key: Option<KeyId>) -> Result<(), Error> {
        let key = key.ok_or(Error::NotFound)?;
        if self.api_keys.delete(authority.organization(), key).await? { Ok(()) } else { Err(Error::NotFound) }
    }

    /// The names behind the caller's key.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the organization or user has gone since the caller was authenticated; [`Error::Outage`].
    pub async fn profile(&self, caller: &Caller) -> Result<Profile, Error> {
        self.accounts.find_profile(caller.organization(), caller.key.user).await?.ok_or(Error::NotFound)
    }
}
