//! Short-lived tokens, and the families that they are revoked by.

use crate::{
    clock::Timestamp,
    id::{FamilyId, KeyId, OrganizationId, TokenId, UserId},
    permission::PermissionSet,
    secret::SecretHash,
};

/// What a token says, before it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its own name.
    pub id: TokenId,
    /// What it is revoked by.
    pub family: FamilyId,
    /// Whose.
    pub organization: OrganizationId,
    /// The key that it stands for.
    pub key: KeyId,
    /// The user whom that belongs to.
    pub user: Option<UserId>,
    /// What it may do.
    pub permissions: PermissionSet,
    /// When it was made.
    pub issued_at: Timestamp,
    /// From this moment on it is good for nothing.
    pub expires_at: Timestamp,
}

/// Live tokens of one secret with the same permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// Its identifier, which is random and says nothing about the key.
    pub id: FamilyId,
    /// Whose.
    pub organization: OrganizationId,
    /// The key. `None`: an earlier version has stored it.
    pub key: Option<KeyId>,
    /// The secret of the key that was turned into them.
    pub secret: SecretHash,
}
