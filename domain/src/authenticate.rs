//! Shown text → caller. A key as a credential obeys its own state; limits belong to verify alone.

use std::sync::Arc;

use crate::{
    api_key::ApiKey, caller::Caller, clock::Timestamp, error::Error, grants::Grants, keys::Keys,
    organization::OrganizationKind, ports::Found, refusal::Refusal, secret::Secret,
};

impl Keys {
    /// The caller behind a shown text.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] with the first reason that holds; [`Error::Outage`].
    pub async fn authenticate(&self, text: &str) -> Result<Caller, Error> {
        let secret = Secret::parse(text).ok_or(Error::Unauthenticated(Refusal::InvalidApiKey))?;
        let found = self
            .ports
            .api_keys
            .find_by_hash(&secret.hash())
            .await?
            .ok_or(Error::Unauthenticated(Refusal::InvalidApiKey))?;
        let now = self.now();
        let Holder { key, kind, grants } = hold(found, now).map_err(Error::Unauthenticated)?;
        self.ports.usage.authenticated(key.id, now);
        Ok(Caller { key: Arc::new(key), kind, grants })
    }
}

/// A key that is fit for use, and what its holder may do.
pub(crate) struct Holder {
    pub(crate) key: ApiKey,
    pub(crate) kind: OrganizationKind,
    pub(crate) grants: Grants,
}

/// The decision, on values alone. The order of the reasons is that of [`Refusal`].
pub(crate) fn hold(found: Found, now: Timestamp) -> Result<Holder, Refusal> {
    if found.secret_expires_at.is_some_and(|end| now >= end) {
        return Err(Refusal::InvalidApiKey);
    }
    let key = found.key;
    let grants = match (key.user, found.membership) {
        (None, _) => Grants::of_organization(key.permissions.clone()),
        (Some(_), Some(permissions)) => Grants::of_user(key.permissions.clone(), permissions),
        (Some(_), None) => return Err(Refusal::KeyDisabled),
    };
    key.check(now)?;
    Ok(Holder { key, kind: found.kind, grants })
}
