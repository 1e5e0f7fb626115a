//! Secrets that the client supplies as hashes, instead of those that this service generates: the client's vault or
//! deployment tool has generated them, and no response contains them. They are stored and looked up as imported secrets
//! are, and are recognized by the imported key formats of their organization.

use std::collections::HashSet;

use super::Keys;
use crate::{
    audit::context::{Action, AuditContext},
    auth::caller::Authority,
    error::Error,
    keys::{
        api_key::ApiKey,
        policy::CheckedPolicies,
        secret::{KeyFormat, LegacyHash, Secret},
    },
    permissions::Permission,
    ports::Imported,
};

/// A secret that the client has generated.
#[derive(Clone, Debug)]
pub struct SuppliedSecret {
    /// The hash of the whole secret.
    pub hash: LegacyHash,
    /// The format of the secret.
    pub key_format: KeyFormat,
    /// The start of the secret, to recognize the key by.
    pub start: String,
}

/// New keys, each with its secret, unless the client has supplied it.
pub(super) type CreatedKeys = Vec<(ApiKey, Option<Secret>)>;

/// The secret of a key that is being created.
pub(super) enum NewSecret {
    /// This service has generated it.
    Generated(Secret),
    /// The client has generated it.
    Supplied(SuppliedSecret),
}

impl Keys {
    /// Stores new keys, some of which have supplied secrets: all of them, or none. A key that was created before with
    /// the same secret, owner and settings is returned unchanged, so that a request can be repeated. `None`: what the keys were
    /// checked against has changed meanwhile, and nothing was stored.
    ///
    /// # Errors
    /// [`Error::SecretInUse`] if another key of the organization has one of the secrets, or two of these keys have the
    /// same; [`Error::Forbidden`] and [`Error::TooManyKeyFormats`] as for [`Keys::require_key_formats`]; those of the
    /// port.
    pub(super) async fn store_with_supplied(
        &self,
        authority: &Authority,
        made: Vec<(ApiKey, NewSecret)>,
        checked: Option<CheckedPolicies>,
        context: &AuditContext,
    ) -> Result<Option<CreatedKeys>, Error> {
        let supplied: Vec<&SuppliedSecret> = made.iter().filter_map(|(_, secret)| secret.supplied()).collect();
        let hashes: Vec<LegacyHash> = supplied.iter().map(|supplied| supplied.hash).collect();
        let mut seen = HashSet::new();
        if !hashes.iter().all(|hash| seen.insert(*hash)) {
            return Err(Error::SecretInUse);
        }
        let key_formats: HashSet<KeyFormat> = supplied.iter().map(|supplied| supplied.key_format.clone()).collect();
        self.require_key_formats(authority, key_formats.into_iter().collect()).await?;
        let known = self.ports.imports.known(authority.organization(), &hashes).await?;
        let known: HashSet<LegacyHash> = known.into_iter().collect();
        let (mut imported, mut generated) = (Vec::new(), Vec::new());
        let mut created = Vec::with_capacity(made.len());
        for (key, secret) in made {
            let mut stored = key.clone();
            let secret = match secret {
                NewSecret::Generated(secret) => {
                    generated.push((key, secret.hash()));
                    Some(secret)
                }
                NewSecret::Supplied(supplied) if known.contains(&supplied.hash) => {
                    let owner = self.find_newest_owner(authority, &supplied.hash).await?;
                    // `None`: the owner was deleted meanwhile.
                    let Some(owner) = owner else { return Ok(None) };
                    if !is_same_key(&owner, &key) {
                        return Err(Error::SecretInUse);
                    }
                    stored = owner;
                    None
                }
                NewSecret::Supplied(supplied) => {
                    imported.push(Imported { key, hash: supplied.hash });
                    None
                }
            };
            created.push((stored, secret));
        }
        match self.ports.imports.import(&[], imported, generated, checked, context).await {
            // Another request of the organization has stored one of the secrets at the same time.
            Err(Error::SecretInUse) => Ok(None),
            stored => Ok(stored?.then_some(created)),
        }
    }

    /// The key of the organization whose newest secret has this hash. `None`: no key has the secret.
    ///
    /// # Errors
    /// [`Error::SecretInUse`] if it is not the newest secret of its key, or its key is not in the scope of the caller;
    /// [`Error::Outage`].
    pub(super) async fn find_newest_owner(
        &self,
        authority: &Authority,
        hash: &LegacyHash,
    ) -> Result<Option<ApiKey>, Error> {
        match self.ports.imports.find_key_of(authority.organization(), hash).await? {
            None => Ok(None),
            Some((_, false)) => Err(Error::SecretInUse),
            Some((key, true)) => {
                let found = self.ports.api_keys.find(authority.scope(), key).await?;
                found.map(Some).ok_or(Error::SecretInUse)
            }
        }
    }

    /// Requires that the organization has these key formats. Those that it does not have are added, if the caller has
    /// `org:admin`: they decide which texts are looked up as secrets.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if a format is missing and the caller does not have `org:admin`;
    /// [`Error::TooManyKeyFormats`]; [`Error::Outage`].
    pub(super) async fn require_key_formats(
        &self,
        authority: &Authority,
        key_formats: Vec<KeyFormat>,
    ) -> Result<(), Error> {
        if self.ports.imports.has_key_formats(authority.organization(), &key_formats).await? {
            return Ok(());
        }
        authority.caller().require(&Permission::ORG_ADMIN)?;
        // The idempotency key is recorded later, with the change that needs the formats.
        let mut context = authority.audit_context(Action::ImportKey, self.now());
        context.origin.idempotency_key = None;
        self.ports.imports.import(&key_formats, Vec::new(), Vec::new(), None, &context).await.map(drop)
    }

    /// Records the idempotency key of a request that changes nothing, if it has one.
    pub(super) async fn record_unchanged(&self, context: &AuditContext) -> Result<(), Error> {
        if context.origin.idempotency_key.is_none() {
            return Ok(());
        }
        self.ports.imports.import(&[], Vec::new(), Vec::new(), None, context).await.map(drop)
    }
}

impl NewSecret {
    /// The secret that this service has generated. `None`: the client has supplied it.
    pub(super) fn generated(&self) -> Option<&Secret> {
        match self {
            Self::Generated(secret) => Some(secret),
            Self::Supplied(_) => None,
        }
    }

    /// As [`NewSecret::generated`], by value.
    pub(super) fn into_generated(self) -> Option<Secret> {
        match self {
            Self::Generated(secret) => Some(secret),
            Self::Supplied(_) => None,
        }
    }

    fn supplied(&self) -> Option<&SuppliedSecret> {
        match self {
            Self::Generated(_) => None,
            Self::Supplied(supplied) => Some(supplied),
        }
    }
}

/// Whether a stored key has the owner and the settings of a new one. The uses that remain are not compared, because uses
/// have changed them.
fn is_same_key(stored: &ApiKey, new: &ApiKey) -> bool {
    let changed = new.settings.changed_fields(&stored.settings);
    stored.user == new.user && changed.iter().all(|field| *field == "remaining")
}
