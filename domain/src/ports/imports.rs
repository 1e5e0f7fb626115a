//! What importing keys asks of the world.

use async_trait::async_trait;

use crate::{
    act::Act,
    api_key::ApiKey,
    clock::Timestamp,
    error::{Error, Outage},
    id::{KeyId, OrganizationId},
    secret::{OldHash, SecretHash, Shape},
};

/// A key as it comes from elsewhere, with the hash of its secret that was kept there.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The key.
    pub key: ApiKey,
    /// The hash.
    pub hash: OldHash,
}

/// What came of a text that has the shape of an imported secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Adopted {
    /// It is one, and is found by our own hash from now on.
    Yes,
    /// It is not.
    No,
    /// Two organizations say that it is theirs: it is nobody's.
    Contested(Vec<(OrganizationId, KeyId)>),
}

/// Keys that come from elsewhere.
#[async_trait]
pub trait Imports: Send + Sync {
    /// Our hash of a text that has one of the shapes that were imported. `None`: it has none of them.
    fn hash_of_imported(&self, text: &str) -> Option<SecretHash>;

    /// Which of these hashes the organization has imported already.
    async fn known(&self, organization: OrganizationId, hashes: &[OldHash]) -> Result<Vec<OldHash>, Outage>;

    /// Stores keys of one organization whose secrets have one of these shapes, each with its part of the log: all or none. The
    /// shapes are stored also where there are no keys.
    ///
    /// # Errors
    /// [`Error::CapReached`], [`Error::SetNotFound`]; [`Error::TooManyShapes`]; [`Error::NameTaken`] where one of them was imported
    /// at the same moment.
    async fn import(&self, shapes: &[Shape], keys: Vec<Imported>, act: &Act) -> Result<(), Error>;

    /// Makes the secret with this old hash one that is found by `hash`.
    async fn adopt(&self, old: &OldHash, hash: &SecretHash, now: Timestamp) -> Result<Adopted, Outage>;
}
