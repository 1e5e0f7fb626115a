//! What importing keys asks of the world.

use async_trait::async_trait;

use crate::{
    act::Act,
    api_key::ApiKey,
    clock::Timestamp,
    error::{Error, Outage},
    id::{KeyId, OrganizationId},
    secret::{ImportedText, OldHash, Shape},
};

/// A key as it comes from elsewhere, with the hash of its secret that was kept there.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The key.
    pub key: ApiKey,
    /// The hash.
    pub hash: OldHash,
}

/// Which organizations have imported a secret, and have its key still. Those where its text was shown count before those that
/// know its hash only: whoever has a copy of the other system's table can import every hash in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// None.
    Nobody,
    /// This one.
    One {
        /// The organization.
        organization: OrganizationId,
        /// Whether the text was shown there.
        was_shown: bool,
    },
    /// These, each with its key; at most 100 of them.
    Several(Vec<(OrganizationId, KeyId)>),
}

/// Keys that come from elsewhere.
#[async_trait]
pub trait Imports: Send + Sync {
    /// What a text may be stored by that has one of the shapes that were imported. `None`: it has none of them.
    fn read_text(&self, text: &str) -> Option<ImportedText>;

    /// Which of these hashes the organization has imported already.
    async fn known(&self, organization: OrganizationId, hashes: &[OldHash]) -> Result<Vec<OldHash>, Outage>;

    /// Stores keys of one organization whose secrets have one of these shapes, each with its part of the log: all or none. The
    /// shapes are stored also where there are no keys. What other organizations have imported makes no difference.
    ///
    /// # Errors
    /// [`Error::CapReached`], [`Error::SetNotFound`]; [`Error::TooManyShapes`]; [`Error::TooMany`]; [`Error::NameTaken`] where
    /// the organization itself imported one of them at the same moment.
    async fn import(&self, shapes: &[Shape], keys: Vec<Imported>, act: &Act) -> Result<(), Error>;

    /// The only organization where the secret was shown, as far as it is remembered. `None` says nothing.
    fn recall_holder(&self, old: &OldHash) -> Option<OrganizationId>;

    /// Which organizations have imported a secret, remembered or read.
    async fn find_holder(&self, old: &OldHash) -> Result<Holder, Outage>;

    /// Forgets whose a secret is, because there was no key any more.
    fn forget_holder(&self, old: &OldHash);

    /// Makes the secret of an organization one that is found by [`OldHash::in_organization`]. One that was not shown yet
    /// becomes one that was, if `may_be_first`. `false`: the organization has not imported it, or may not be shown it.
    async fn adopt(
        &self,
        organization: OrganizationId,
        text: &ImportedText,
        may_be_first: bool,
        now: Timestamp,
    ) -> Result<bool, Outage>;
}
