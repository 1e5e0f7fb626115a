//! The data of a rotation of a key's secret.

use crate::{
    clock::Timestamp,
    keys::secret::{KeyPrefix, LegacyHash, SecretHash},
};

/// The hash by which a secret is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredSecret {
    /// A secret that this service has generated.
    Generated(SecretHash),
    /// A secret that the client has supplied.
    Supplied(LegacyHash),
}

/// The data of a rotation.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// The hash of the new secret.
    pub secret: StoredSecret,
    /// The prefix of the new secret.
    pub prefix: KeyPrefix,
    /// The prefix and first characters of the new secret.
    pub start: String,
    /// The prefix of the previous secret.
    pub old_prefix: KeyPrefix,
    /// The prefix and first characters of the previous secret.
    pub old_start: String,
    /// When the previous secret expires (UTC, exclusive).
    pub old_ends_at: Timestamp,
    /// Whether a secret that is the previous one already, because the newest was never used, may expire later than it would now.
    pub may_extend_previous: bool,
}
