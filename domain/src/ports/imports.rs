//! The port of importing keys of other systems.

use async_trait::async_trait;

use crate::{
    audit::context::AuditContext,
    clock::Timestamp,
    error::{Error, Outage},
    id::{KeyId, OrganizationId},
    keys::{
        api_key::ApiKey,
        policy::CheckedPolicies,
        secret::{ImportedSecret, KeyFormat, LegacyHash, SecretHash},
    },
};

/// A key of another system, with the hash that the other system has stored.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The key.
    pub key: ApiKey,
    /// The hash of its secret.
    pub hash: LegacyHash,
}

/// The organizations that have imported a secret and still have its key. Organizations in which the secret itself was
/// used precede those that know only its hash: everyone with a copy of the other system's table could import all its
/// hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretOwner {
    /// No organization.
    NotImported,
    /// One organization.
    One {
        /// Its id.
        organization: OrganizationId,
        /// Whether the secret was used there.
        was_used: bool,
    },
    /// Several organizations, each with the id of its key; at most 100.
    Several(Vec<(OrganizationId, KeyId)>),
}

/// The import of keys of other systems.
#[async_trait]
pub trait Imports: Send + Sync {
    /// The hashes of a text that has one of the imported formats. `None`: it has none of them.
    fn parse_secret(&self, text: &str) -> Option<ImportedSecret>;

    /// Those of these hashes that the organization has imported already.
    async fn known(&self, organization: OrganizationId, hashes: &[LegacyHash]) -> Result<Vec<LegacyHash>, Outage>;

    /// Whether the organization has all of these formats.
    async fn has_key_formats(&self, organization: OrganizationId, key_formats: &[KeyFormat]) -> Result<bool, Outage>;

    /// The key of the organization that has or had the secret with this hash, and whether the secret is its newest one.
    /// `None`: there is none, or it is deleted.
    async fn find_key_of(
        &self,
        organization: OrganizationId,
        hash: &LegacyHash,
    ) -> Result<Option<(KeyId, bool)>, Outage>;

    /// Stores keys of one organization whose secrets have one of these formats, and `generated` keys with secrets of this
    /// service, each with its audit event: all of them, or none. The formats are stored even if there are no keys.
    /// Imports of other organizations do not matter. `false`: there are keys, and other policies apply to them than those in
    /// `checked`; nothing was stored.
    ///
    /// # Errors
    /// [`Error::CapReached`]; [`Error::SetNotFound`]; [`Error::TooManyKeyFormats`]; [`Error::TooMany`];
    /// [`Error::SecretInUse`] if another request of the organization has imported one of them at the same time: then it
    /// is [known](Imports::known).
    async fn import(
        &self,
        key_formats: &[KeyFormat],
        keys: Vec<Imported>,
        generated: Vec<(ApiKey, SecretHash)>,
        checked: Option<CheckedPolicies>,
        context: &AuditContext,
    ) -> Result<bool, Error>;

    /// The only organization in which the secret was used, if that is cached. `None`: not cached.
    fn get_cached_secret_owner(&self, old: &LegacyHash) -> Option<OrganizationId>;

    /// The organizations that have imported a secret, from the cache or the database.
    async fn find_secret_owner(&self, old: &LegacyHash) -> Result<SecretOwner, Outage>;

    /// Removes the organization of a secret from the cache: its key no longer exists.
    fn invalidate_secret_owner(&self, old: &LegacyHash);

    /// Changes the stored hash of an imported secret to [`LegacyHash::in_organization`], by which it is found from then
    /// on. A secret that was not used yet is marked as used if `may_be_first` is true. `false`: the organization has
    /// not imported it, or it may not be used there.
    async fn claim_secret(
        &self,
        organization: OrganizationId,
        text: &ImportedSecret,
        may_be_first: bool,
        now: Timestamp,
    ) -> Result<bool, Outage>;
}
