//! Shown text → caller. A key as a credential obeys its own state; limits belong to verify alone.

use std::sync::Arc;

use crate::{
    caller::Caller, clock::Timestamp, error::Error, grants::Grants, keys::Keys, ports::Found, secret::Secret,
    verdict::Refusal,
};

impl Keys {
    /// The caller behind a shown text.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] with the first reason that holds; [`Error::Outage`].
    pub async fn authenticate(&self, text: &str) -> Result<Caller, Error> {
        let secret = Secret::parse(text).ok_or(Error::Unauthenticated(Refusal::InvalidApiKey))?;
        let found =
            self.api_keys.find_by_hash(&secret.hash()).await?.ok_or(Error::Unauthenticated(Refusal::InvalidApiKey))?;
        admit(found, self.clock.now()).map_err(Error::Unauthenticated)
    }
}

/// The decision, on values alone.
fn admit(found: Found, now: Timestamp) -> Result<Caller, Refusal> {
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
    Ok(Caller { key: Arc::new(key), kind: found.kind, grants })
}
