//! Reading, listing and deleting keys.

use super::Keys;
use crate::{
    audit::{
        EventOutcome,
        context::{Action, Actor},
    },
    auth::caller::{Authority, Caller},
    clock::Timestamp,
    error::Error,
    id::KeyId,
    keys::{
        api_key::{ApiKey, Creator, SecretStatus},
        list::{Filter, Listing, Start},
        secret::SecretHash,
    },
    optimistic::require_version,
    ports::{EventFilter, Profile},
};

/// When a key was deleted, and by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyDeletion {
    /// When (UTC).
    pub at: Timestamp,
    /// Who. `None`: the audit log does not have the event any more.
    pub by: Option<Creator>,
}

impl Keys {
    /// One key (`None`: the request has no valid id).
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Outage`].
    pub async fn get(&self, authority: &Authority, key: Option<KeyId>) -> Result<ApiKey, Error> {
        let key = key.ok_or(Error::NotFound)?;
        self.ports.api_keys.find(authority.scope(), key).await?.ok_or(Error::NotFound)
    }

    /// One key (`None`: the request has no valid id), also if it is deleted and not purged.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Outage`].
    pub async fn get_with_deleted(&self, authority: &Authority, key: Option<KeyId>) -> Result<ApiKey, Error> {
        match self.get(authority, key).await {
            Err(Error::NotFound) => self.get_deleted(authority, key).await,
            found => found,
        }
    }

    /// A deleted key that is not purged (`None`: the request has no valid id).
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Outage`].
    async fn get_deleted(&self, authority: &Authority, key: Option<KeyId>) -> Result<ApiKey, Error> {
        let key = key.ok_or(Error::NotFound)?;
        self.ports.api_keys.find_deleted(authority.scope(), key).await?.ok_or(Error::NotFound)
    }

    /// When a deleted key was deleted, and by whom (`None`: the request has no valid id).
    ///
    /// # Errors
    /// [`Error::NotFound`]: the key is not deleted, or purged; [`Error::Outage`].
    pub async fn deletion(&self, authority: &Authority, key: Option<KeyId>) -> Result<KeyDeletion, Error> {
        let key = self.get_deleted(authority, key).await?;
        let at = key.deleted_at.ok_or(Error::NotFound)?;
        let filter = EventFilter {
            actions: Some(vec![Action::DeleteKey]),
            outcome: Some(EventOutcome::Done),
            target: Some(key.id.uuid()),
            ..EventFilter::default()
        };
        let newest = self.ports.log.list(authority.organization(), &filter, None, 1).await?.pop();
        let by = newest.and_then(|stored| match stored.event.actor {
            Actor::Key(id, _) => Some(Creator::Key(id)),
            Actor::User(id) => Some(Creator::User(id)),
            Actor::Operator => Some(Creator::Operator),
            Actor::Unknown => None,
        });
        Ok(KeyDeletion { at, by })
    }

    /// Whether a list can be sorted in its order. If not, it would have to sort more than
    /// [`MAX_SORTED`](super::list::MAX_SORTED) keys.
    ///
    /// # Errors
    /// [`Error::Outage`].
    pub async fn can_sort(&self, authority: &Authority, listing: &Listing) -> Result<bool, Error> {
        Ok(self.ports.api_keys.can_sort(authority.scope(), listing).await?)
    }

    /// The number of keys that match a filter: exact up to [`MAX_COUNTED`](super::list::MAX_COUNTED), and one more than that
    /// if there are more.
    ///
    /// # Errors
    /// [`Error::Outage`].
    pub async fn count(&self, authority: &Authority, filter: &Filter) -> Result<u64, Error> {
        Ok(self.ports.api_keys.count(authority.scope(), filter).await?)
    }

    /// Finds the key with this secret, also if the secret or the key is not valid, or the key is deleted and not purged.
    /// This does not count as a use of the secret. A secret has at least 128 random bits, so it cannot be found by guessing.
    ///
    /// # Errors
    /// [`Error::NotFound`]: no key in the scope of the caller has or had the secret; [`Error::Outage`].
    pub async fn find_by_secret(&self, authority: &Authority, secret: &str) -> Result<(ApiKey, SecretStatus), Error> {
        let (hashes, supplied) = match (SecretHash::of(secret), self.ports.imports.parse_secret(secret)) {
            (Some(own), _) => (vec![own], None),
            (None, Some(text)) => {
                (vec![text.old.in_organization(authority.organization()), text.plain], Some(text.old))
            }
            (None, None) => return Err(Error::NotFound),
        };
        let found = self.ports.api_keys.find_by_secret(authority.scope(), &hashes, supplied, self.now()).await?;
        found.ok_or(Error::NotFound)
    }

    /// Lists at most `limit` keys, beginning at `start`.
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
        Ok(self.ports.api_keys.list(authority.scope(), listing, start, limit).await?)
    }

    /// Deletes a key (`None`: the request has no valid id). It is invalid immediately, and can be restored until it is
    /// purged. Callers may delete every key in their scope, including their own. With `only`, its version must be one
    /// of these.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::VersionMismatch`]; [`Error::Outage`].
    pub async fn delete(&self, authority: &Authority, key: Option<KeyId>, only: Option<&[u64]>) -> Result<(), Error> {
        let id = key.ok_or(Error::NotFound)?;
        let version = self.required_version(authority, id, only).await?;
        let context = authority.audit_context(Action::DeleteKey, self.now());
        let deleted = self.ports.api_keys.delete(authority.scope(), vec![id], version, &context).await?;
        match version {
            _ if !deleted.is_empty() => Ok(()),
            None => Err(Error::NotFound),
            // Another request has changed or deleted it meanwhile.
            Some(_) => Err(Error::VersionMismatch),
        }
    }

    /// The current version of a key, which must be one of `only`: the condition on which a change is stored. `None`:
    /// `only` is `None`, so there is no condition.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::VersionMismatch`]; [`Error::Outage`].
    pub(super) async fn required_version(
        &self,
        authority: &Authority,
        key: KeyId,
        only: Option<&[u64]>,
    ) -> Result<Option<u64>, Error> {
        if only.is_none() {
            return Ok(None);
        }
        let current = self.get(authority, Some(key)).await?;
        require_version(current.version, only)?;
        Ok(Some(current.version))
    }

    /// Deletes those of these keys that are in the caller's scope, in one transaction. Returns their ids.
    ///
    /// # Errors
    /// [`Error::Outage`].
    pub async fn delete_many(&self, authority: &Authority, keys: Vec<KeyId>) -> Result<Vec<KeyId>, Error> {
        let context = authority.audit_context(Action::DeleteKey, self.now());
        self.ports.api_keys.delete(authority.scope(), keys, None, &context).await
    }

    /// Deletes the expired keys in the caller's scope, as many as possible in limited time. Returns their number;
    /// another call deletes the rest.
    ///
    /// # Errors
    /// [`Error::Outage`].
    pub async fn delete_expired(&self, authority: &Authority) -> Result<u64, Error> {
        let context = authority.audit_context(Action::DeleteKey, self.now());
        Ok(self.ports.api_keys.delete_expired(authority.scope(), &context).await?)
    }

    /// The organization and the user of the caller.
    ///
    /// # Errors
    /// [`Error::NoOrganization`]; [`Error::NotFound`] if the organization or the user was deleted after the caller was
    /// authenticated; [`Error::Outage`].
    pub async fn profile(&self, caller: &Caller) -> Result<Profile, Error> {
        self.ports.accounts.find_profile(caller.organization()?, caller.user()).await?.ok_or(Error::NotFound)
    }
}
